namespace Twintail.Model;

/// <summary>The weights of a network at one moment, on the host.</summary>
internal sealed class NetworkSnapshot
{
    private readonly float[][] _embeddings;
    private readonly float[] _parameters;
    private readonly float _inverseTemperature;

    public NetworkSnapshot(Network network)
    {
        _embeddings = Array.ConvertAll(network.Embeddings, table => table.Weights.ToArray());
        _parameters = network.Parameters.ToArray();
        _inverseTemperature = network.InverseTemperature;
    }

    public void Restore(Network network)
    {
        for (int e = 0; e < _embeddings.Length; e++)
        {
            network.Embeddings[e].Weights.CopyFrom(_embeddings[e]);
        }

        network.Parameters.CopyFrom(_parameters);
        network.InverseTemperature = _inverseTemperature;
    }
}
