namespace Twintail.Evaluation;

/// <summary>The metrics of single users, by slice, from which means and their intervals are taken.</summary>
internal sealed class UserValues
{
    public UserValues(string[] users, IReadOnlyList<string> metrics, IReadOnlyList<SliceValues> slices)
    {
        Users = users;
        Metrics = metrics;
        Slices = slices;
    }

    /// <summary>External ids.</summary>
    public string[] Users { get; }

    /// <summary>Names of the metrics that a user has a value of.</summary>
    public IReadOnlyList<string> Metrics { get; }

    public IReadOnlyList<SliceValues> Slices { get; }
}

/// <summary>One slice of <see cref="UserValues"/>.</summary>
internal sealed class SliceValues
{
    public SliceValues(string name, int users, int metrics)
    {
        Name = name;
        Has = new bool[users];
        Values = new double[users * metrics];
    }

    public string Name { get; }

    /// <summary>[users]: whether the user has a click in the slice.</summary>
    public bool[] Has { get; }

    /// <summary>[users, metrics].</summary>
    public double[] Values { get; }

    public int Pairs { get; set; }

    public int Items { get; set; }

    /// <summary>Share of the slice's candidates that are in somebody's list; NaN in differences between users' values.</summary>
    public double Coverage { get; set; } = double.NaN;
}
