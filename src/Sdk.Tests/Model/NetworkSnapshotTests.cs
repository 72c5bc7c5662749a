using Twintail.Features;
using Twintail.Model;
using Twintail.Tests.Ops;
using Twintail.Tests.Training;
using Twintail.Training;

namespace Twintail.Tests.Model;

internal sealed class NetworkSnapshotTests : OpFixture
{
    // Tables of more elements than an array has are kept in pieces; 7 divides no table's length.
    [Test]
    public void GivesEveryWeightBackFromPieces()
    {
        var options = new TrainingOptions { Tower = [5], Dimension = 3, IdDimension = 4, FeatureDimension = 2 };
        using var network = new Network(Device, Catalogue.FromDataset(TinyData.Make()), options);
        network.Initialize(options);
        float[][] before = Weights(network);

        var snapshot = new NetworkSnapshot(network, pieceLength: 7);
        network.Initialize(options with { Seed = 2 });
        network.InverseTemperature = 99;
        Assert.That(Weights(network), Is.Not.EqualTo(before));
        snapshot.Restore(network);

        Assert.That(Weights(network), Is.EqualTo(before));
        Assert.That(network.InverseTemperature, Is.EqualTo(1 / options.Temperature));
    }

    private static float[][] Weights(Network network) =>
        [.. network.Embeddings.Select(table => table.Weights.ToArray()), network.Parameters.ToArray()];
}
