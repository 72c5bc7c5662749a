namespace Twintail.Model;

/// <summary>The weights of a network at one moment, on the host.</summary>
internal sealed class NetworkSnapshot
{
    private const int PieceLength = 1 << 28;

    // Each table in pieces: it may have more elements than an array.
    private readonly float[][][] _embeddings;
    private readonly float[][] _parameters;
    private readonly float _inverseTemperature;

    public NetworkSnapshot(Network network, int pieceLength = PieceLength)
    {
        _embeddings = Array.ConvertAll(network.Embeddings, table => Pieces(table.Weights, pieceLength));
        _parameters = Pieces(network.Parameters, pieceLength);
        _inverseTemperature = network.InverseTemperature;
    }

    public void Restore(Network network)
    {
        for (int e = 0; e < _embeddings.Length; e++)
        {
            PutBack(_embeddings[e], network.Embeddings[e].Weights);
        }

        PutBack(_parameters, network.Parameters);
        network.InverseTemperature = _inverseTemperature;
    }

    private static float[][] Pieces(DeviceBuffer<float> buffer, int length)
    {
        var pieces = new List<float[]>();
        for (long start = 0; start < buffer.Length; start += length)
        {
            var piece = new float[Math.Min(length, buffer.Length - start)];
            buffer.CopyTo(piece, start);
            pieces.Add(piece);
        }

        return pieces.ToArray();
    }

    private static void PutBack(float[][] pieces, DeviceBuffer<float> buffer)
    {
        long start = 0;
        foreach (float[] piece in pieces)
        {
            buffer.CopyFrom(piece, start);
            start += piece.Length;
        }
    }
}
