using Twintail.Features;
using Twintail.Model;
using Twintail.Tests.Ops;
using Twintail.Training;

namespace Twintail.Tests.Model;

/// <summary>Names of columns become names of tensors, and two of one name could be written but not read.</summary>
internal sealed class FeatureLayoutTests : OpFixture
{
    private static readonly TrainingOptions Apart = new() { SharedEmbeddings = false, HistoryIds = true, HistoryContent = true };

    [Test]
    public void RefusesAnItemColumnNamedAsTheIds()
    {
        BadArgumentException error = Refused("columns", () => _ = new FeatureLayout(Catalogue(["item_id"], ["country"]), Apart));
        Assert.That(error.Message, Does.Contain("the ids of the items").And.Contain("the items' column 'item_id'"));
    }

    [TestCase("brand")]
    [TestCase("item_id")]
    public void RefusesAUserColumnNamedAsAHistory(string history)
    {
        Catalogue catalogue = Catalogue(["brand"], ["history." + history]);

        BadArgumentException error = Refused("columns", () => _ = new FeatureLayout(catalogue, Apart));

        Assert.That(error.Message, Does.Contain($"the users' column 'history.{history}'").And.Contain($"the items' '{history}' in the histories"));
        Assert.DoesNotThrow(() => _ = new FeatureLayout(catalogue, Apart with { SharedEmbeddings = true }), "histories have no names of their own");
    }

    [Test]
    public void ItemsAndUsersMayHaveTheSameColumns() =>
        Assert.DoesNotThrow(() => _ = new FeatureLayout(Catalogue(["brand", "user.x"], ["brand", "item_id", "item.brand"]), Apart));

    private static Catalogue Catalogue(string[] items, string[] users) =>
        new(new FeatureTable(["x"], Columns(items)), new FeatureTable(["a"], Columns(users)), [0, 1], [0]);

    private static FeatureColumn[] Columns(string[] names) => Array.ConvertAll(names, name => new FeatureColumn(name, ["", "v"], [1]));
}
