using Twintail.Features;
using Twintail.Model;

namespace Twintail.Training;

/// <summary>The sizes of a training, from catalogue and options alone: what its memory depends on.</summary>
internal sealed class TrainingShape
{
    public TrainingShape(Catalogue catalogue, TrainingOptions options)
    {
        Options = options;
        Layout = new FeatureLayout(catalogue, options);
        ItemTower = new Tower("item_tower", Layout.ItemWidth, options.Tower, options.Dimension, 0);
        UserTower = new Tower("user_tower", Layout.UserWidth, options.Tower, options.Dimension, ItemTower.End);
        Items = catalogue.Items.Rows;
        Users = catalogue.Users.Rows;
        Clicks = catalogue.HistoryItems.Length;
        long steps = (Clicks + options.BatchSize - 1) / options.BatchSize;
        Batch = (Clicks + steps - 1) / steps;
        Columns = Batch + options.MixedNegatives;
        SelfItems = options.IsSelfSupervised ? options.SelfBatchSize : 0;
        ItemValues = new RowValues(Layout.Items.Count);
        UserValues = new RowValues(Layout.Users.Count);
        MeasureItems(catalogue);
        MeasureUsers(catalogue);
    }

    public TrainingOptions Options { get; }

    public FeatureLayout Layout { get; }

    public Tower ItemTower { get; }

    public Tower UserTower { get; }

    public long Items { get; }

    public long Users { get; }

    public long Clicks { get; }

    /// <summary>Clicks of the largest batch, n.</summary>
    public long Batch { get; }

    /// <summary>Columns of the main loss.</summary>
    public long Columns { get; }

    /// <summary>Items of the self-supervised loss, m; 0: off.</summary>
    public long SelfItems { get; }

    /// <summary>Rows of the item tower in a step.</summary>
    public long ItemRows => Columns + (2 * SelfItems);

    /// <summary>Values of items' rows.</summary>
    public RowValues ItemValues { get; }

    /// <summary>Values of users' rows, those through histories among them.</summary>
    public RowValues UserValues { get; }

    /// <summary>Mean length of a history, by clicks.</summary>
    public double MeanHistory { get; private set; }

    /// <summary>Entries of all histories after they have been cut.</summary>
    public long HistoryEntries { get; private set; }

    /// <summary>Mean number of a clicked user's values that do not come through the history, by clicks.</summary>
    public double MeanOwnValues { get; private set; }

    /// <summary>Values of all items of the features that are read through histories.</summary>
    public long ListedValues { get; private set; }

    private void MeasureItems(Catalogue catalogue)
    {
        for (int item = 0; item < Items; item++)
        {
            ItemValues.BeginRow();
            for (int f = 0; f < Layout.Items.Count; f++)
            {
                ItemValues.Add(f, Count(Layout.Items[f].Column, item));
            }

            ItemValues.EndRow(catalogue.Clicks[item]);
        }
    }

    private void MeasureUsers(Catalogue catalogue)
    {
        double ownValues = 0, history = 0;
        for (int user = 0; user < Users; user++)
        {
            long end = catalogue.HistoryOffsets[user + 1], clicks = end - catalogue.HistoryOffsets[user];
            long length = Options.HistoryLength == 0 ? clicks : Math.Min(clicks, Options.HistoryLength);
            HistoryEntries += length;
            history += (double)length * clicks;
            UserValues.BeginRow();
            for (int f = 0; f < Layout.Users.Count; f++)
            {
                FeatureBinding feature = Layout.Users[f];
                long values = feature.ThroughList ? Listed(catalogue, feature.Column, end - length, end) : Count(feature.Column, user);
                UserValues.Add(f, values);
                ownValues += feature.ThroughList ? 0 : (double)Math.Max(values, 1) * clicks;
            }

            UserValues.EndRow(clicks);
        }

        MeanOwnValues = ownValues / Clicks;
        MeanHistory = history / Clicks;
        foreach (FeatureBinding feature in Layout.Users)
        {
            ListedValues += feature.ThroughList ? feature.Column.Values.Length : 0;
        }
    }

    private static long Listed(Catalogue catalogue, FeatureColumn column, long begin, long end)
    {
        if (column.Offsets == null)
        {
            return end - begin;
        }

        long values = 0;
        for (long i = begin; i < end; i++)
        {
            values += Count(column, catalogue.HistoryItems[i]);
        }

        return values;
    }

    private static long Count(FeatureColumn column, int row) =>
        column.Offsets == null ? 1 : column.Offsets[row + 1] - column.Offsets[row];
}

/// <summary>How many values rows have: what a gather of them looks up. A feature without any looks up the default.</summary>
internal sealed class RowValues
{
    private readonly long[] _longest;
    private double _sum;
    private double _clickedSum;
    private double _clicks;
    private long _rows;
    private long _row;

    public RowValues(int features) => _longest = new long[features];

    /// <summary>Mean over rows.</summary>
    public double Mean => _sum / Math.Max(_rows, 1);

    /// <summary>Mean over clicks.</summary>
    public double ClickedMean => _clickedSum / Math.Max(_clicks, 1);

    /// <summary>The sum over features of the longest row's values: what a row has at most.</summary>
    public long Most => _longest.Sum(values => Math.Max(values, 1));

    public void BeginRow() => _row = 0;

    public void Add(int feature, long values)
    {
        _longest[feature] = Math.Max(_longest[feature], values);
        _row += Math.Max(values, 1);
    }

    public void EndRow(long clicks)
    {
        _rows++;
        _sum += _row;
        _clicks += clicks;
        _clickedSum += (double)_row * clicks;
    }
}
