using Twintail.Features;
using Twintail.Ops;
using Twintail.Training;

namespace Twintail.Model;

/// <summary>Name and size of an embedding table.</summary>
internal readonly struct EmbeddingShape
{
    public EmbeddingShape(string name, int rows, int dim)
    {
        Name = name;
        Rows = rows;
        Dim = dim;
    }

    public string Name { get; }

    public int Rows { get; }

    public int Dim { get; }
}

/// <summary>Where items' and users' gathered vectors hold the same embedding.</summary>
internal readonly struct SharedInput
{
    public SharedInput(int item, int user, int width)
    {
        Item = item;
        User = user;
        Width = width;
    }

    public int Item { get; }

    public int User { get; }

    public int Width { get; }
}

/// <summary>
/// What the two towers read, decided by catalogue and options alone.
/// Items: their id (feature 0; items without training clicks have the default id 0) and every column.
/// Users: every column, then, through the history, the items' ids and the items' columns.
/// </summary>
internal sealed class FeatureLayout
{
    public const string IdName = "item_id";

    private readonly List<EmbeddingShape> _embeddings = new();
    private readonly Dictionary<string, string> _sources = new(StringComparer.Ordinal);
    private readonly List<FeatureBinding> _items = new();
    private readonly List<FeatureBinding> _users = new();
    private readonly TrainingOptions _options;

    public FeatureLayout(Catalogue catalogue, TrainingOptions options)
    {
        _options = options;
        ItemIds = IdColumn(catalogue);
        Add(_items, ItemIds, "item." + IdName, options.IdDimension, throughList: false, "the ids of the items");
        foreach (FeatureColumn column in catalogue.Items.Columns)
        {
            Add(_items, column, "item." + column.Name, Dim(column), throughList: false, $"the items' column '{column.Name}'");
        }

        foreach (FeatureColumn column in catalogue.Users.Columns)
        {
            Add(_users, column, "user." + column.Name, Dim(column), throughList: false, $"the users' column '{column.Name}'");
        }

        AddHistory();
        ItemWidth = Width(_items);
        UserWidth = Width(_users);
        Check(catalogue);
    }

    public IReadOnlyList<EmbeddingShape> Embeddings => _embeddings;

    public IReadOnlyList<FeatureBinding> Items => _items;

    public IReadOnlyList<FeatureBinding> Users => _users;

    /// <summary>The item's id as a feature.</summary>
    public FeatureColumn ItemIds { get; }

    /// <summary>Length of an item's gathered vector.</summary>
    public int ItemWidth { get; }

    /// <summary>Length of a user's gathered vector.</summary>
    public int UserWidth { get; }

    /// <summary>The inputs of both towers that are of the same embedding.</summary>
    public IReadOnlyList<SharedInput> SharedInputs()
    {
        var starts = new Dictionary<int, int>();
        int start = 0;
        foreach (FeatureBinding item in _items)
        {
            starts[item.Embedding] = start;
            start += _embeddings[item.Embedding].Dim;
        }

        var inputs = new List<SharedInput>();
        start = 0;
        foreach (FeatureBinding user in _users)
        {
            int width = _embeddings[user.Embedding].Dim;
            if (starts.TryGetValue(user.Embedding, out int item))
            {
                inputs.Add(new SharedInput(item, start, width));
            }

            start += width;
        }

        return inputs;
    }

    /// <summary>Histories cut to the options' length: the latest clicks.</summary>
    public static RowLists Histories(long[] offsets, int[] items, int catalogueRows, int length)
    {
        if (length == 0)
        {
            return new RowLists(offsets, items, catalogueRows);
        }

        var cut = new List<int>();
        var cutOffsets = new long[offsets.Length];
        for (int user = 0; user + 1 < offsets.Length; user++)
        {
            for (long i = Math.Max(offsets[user], offsets[user + 1] - length); i < offsets[user + 1]; i++)
            {
                cut.Add(items[i]);
            }

            cutOffsets[user + 1] = cut.Count;
        }

        return new RowLists(cutOffsets, cut.ToArray(), catalogueRows);
    }

    private static FeatureColumn IdColumn(Catalogue catalogue)
    {
        var vocabulary = new List<string> { "" };
        var values = new int[catalogue.Items.Rows];
        for (int item = 0; item < values.Length; item++)
        {
            if (catalogue.Clicks[item] > 0)
            {
                values[item] = vocabulary.Count;
                vocabulary.Add(catalogue.Items.Ids[item]);
            }
        }

        return new FeatureColumn(IdName, vocabulary.ToArray(), values);
    }

    private void AddHistory()
    {
        for (int f = 0; f < _items.Count; f++)
        {
            FeatureBinding item = _items[f];
            if (f == 0 ? _options.HistoryIds : _options.HistoryContent)
            {
                if (_options.SharedEmbeddings)
                {
                    _users.Add(new FeatureBinding(item.Column, item.Embedding, _options.Pooling, throughList: true));
                }
                else
                {
                    Add(
                        _users, item.Column, "user.history." + item.Column.Name, _embeddings[item.Embedding].Dim, throughList: true,
                        $"the items' '{item.Column.Name}' in the histories");
                }
            }
        }
    }

    private void Add(List<FeatureBinding> features, FeatureColumn column, string name, int dim, bool throughList, string source)
    {
        if (_sources.TryGetValue(name, out string? other))
        {
            // Two tensors of one name: the model would be written and could never be read.
            throw new BadArgumentException(
                "columns", "names that differ in the model (rename or ignore a column)", $"{other} and {source}, which are both '{name}' there");
        }

        _sources.Add(name, source);
        features.Add(new FeatureBinding(column, _embeddings.Count, _options.Pooling, throughList));
        _embeddings.Add(new EmbeddingShape(name, column.Vocabulary.Length, dim));
    }

    private int Dim(FeatureColumn column)
    {
        if (_options.FeatureDimension > 0)
        {
            return _options.FeatureDimension;
        }

        int values = column.Vocabulary.Length;
        return values <= 16 ? 8 : values <= 256 ? 16 : values <= 4096 ? 32 : 64;
    }

    private int Width(List<FeatureBinding> features)
    {
        int width = 0;
        foreach (FeatureBinding feature in features)
        {
            width += _embeddings[feature.Embedding].Dim;
        }

        return width;
    }

    private void Check(Catalogue catalogue)
    {
        const int Most = 64; // TT_MAX_FEATURES
        if (_items.Count > Most || _users.Count > Most)
        {
            throw new BadArgumentException(
                "columns", $"at most {Most} features a tower", $"{_items.Count} of items, {_users.Count} of users with their history");
        }

        if (_users.Count == 0)
        {
            throw new BadArgumentException(
                "history-ids, history-content", "something for the user tower to read", "neither, and users without columns");
        }

        if (catalogue.Items.Rows == 0)
        {
            throw new BadArgumentException("items", "at least one item", "none");
        }
    }
}
