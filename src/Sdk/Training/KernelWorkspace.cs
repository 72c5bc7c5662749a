namespace Twintail.Training;

/// <summary>
/// The temporary memory of a backend's kernels. An operation takes what it needs, and the backend keeps the most that one of them
/// has needed; what follows sums up the large arrays of the large operations.
/// </summary>
internal abstract class KernelWorkspace
{
    protected const int Float = sizeof(float);
    protected const double BestItems = 20; // of a user: wanted, and kept until they are cut
    protected const double KeptItems = 276;

    protected KernelWorkspace(TrainingShape shape) => Shape = shape;

    protected TrainingShape Shape { get; }

    /// <summary>What is taken for what is asked for, in the mean.</summary>
    protected virtual double Slack => 1;

    /// <summary>Users of a block of the evaluation.</summary>
    protected double RankedUsers => Math.Min(MemoryParts.EvaluationUsers, Shape.Users);

    /// <summary>
    /// The operations in the order of a step, then of an evaluation. One that needs more than there is takes it in further pieces, and
    /// what is left over in the last piece is lost to it: half of what there was, in the mean.
    /// </summary>
    public long Bytes(bool evaluates)
    {
        double reserved = 0;
        double[] step = { Loss(Shape.Batch, Shape.Columns), Loss(Shape.SelfItems, Shape.SelfItems), Linear(), UserUpdate(), ItemUpdate() };
        foreach (double needed in evaluates ? step.Append(Ranking()) : step)
        {
            if (needed > reserved)
            {
                reserved = (Slack * needed) + (reserved / 2);
            }
        }

        return (long)reserved;
    }

    protected static double RoundUp(double value, double unit) => Math.Ceiling(value / unit) * unit;

    protected abstract double UserUpdate();

    protected abstract double ItemUpdate();

    protected abstract double Linear();

    /// <summary>A loss with n rows and m columns, O((n + m) d) and blocks of rows.</summary>
    protected abstract double Loss(long n, long m);

    /// <summary>The best items of a block of users.</summary>
    protected abstract double Ranking();
}

/// <summary>Of native/cpu.</summary>
internal sealed class CpuWorkspace : KernelWorkspace
{
    // Two arrays of 8 bytes, counters of partitions, sums of long runs.
    private const double LookupBytes = 18;

    // Of a thread that walks rows: copies of their values, masks.
    private const double WalkBytes = 300 << 10;
    private readonly int _threads;

    public CpuWorkspace(TrainingShape shape, int threads)
        : base(shape) => _threads = threads;

    protected override double UserUpdate()
    {
        double entries = Shape.Batch * Shape.MeanHistory, kept = entries * (1 - Shape.Options.HistoryDropout);
        double scales = Float * (double)Shape.Batch * Shape.Layout.Users.Count;
        double slots = Math.Min(Shape.Items, kept);
        if (Shape.ListedValues == 0 || entries < 2 * Shape.Items || kept < 2 * slots)
        {
            return (LookupBytes * Shape.Batch * Shape.UserValues.ClickedMean) + scales + (WalkBytes * _threads);
        }

        // Histories share their items: each item's gradients are summed first, and looked up once.
        double lists = (sizeof(int) * (entries + (2 * kept) + (3 * Shape.Items))) + (Shape.Batch * (scales / Shape.Batch + 32));
        double rows = Float * (Shape.Batch + slots) * Shape.Layout.UserWidth;
        double lookups = (Shape.Batch * Shape.MeanOwnValues) + (Shape.ListedValues * (slots / Shape.Items));
        return lists + rows + (LookupBytes * lookups) + scales + (WalkBytes * _threads);
    }

    protected override double ItemUpdate()
    {
        double lookups = (Shape.Batch * Shape.ItemValues.ClickedMean) + ((Shape.ItemRows - Shape.Batch) * Shape.ItemValues.Mean);
        return (LookupBytes * lookups) + (Float * (double)Shape.ItemRows * Shape.Layout.Items.Count) + (WalkBytes * _threads);
    }

    protected override double Linear()
    {
        (long inputs, long outputs) = LargestLayer();
        double most = Math.Max(1, Math.Min(32, (1 << 24) / (double)(inputs * outputs)));
        double splits = Math.Min(most, RoundUp(Shape.ItemRows / 256.0, 1));
        return Float * ((splits * inputs * outputs) + (256.0 * _threads * outputs));
    }

    protected override double Loss(long n, long m)
    {
        if (m == 0)
        {
            return 0;
        }

        double width = RoundUp(Shape.Options.Dimension, 16);
        double block = Math.Max(56, Math.Min(84, 16384 * width / m));
        double strands = Math.Min(4, Math.Max(1, n / block / 4));
        double packed = Float * width * ((2 + strands) * m); // columns in panels and as rows; their sums
        double workers = Math.Min(_threads, Math.Max(1, n / block));
        return packed + (Float * workers * block * (1.1 * m + (2 * width))) + (24 * n) + (40 * m);
    }

    protected override double Ranking()
    {
        double block = Math.Min(768, Math.Max(192, RankedUsers / (4 * _threads)));
        double slices = Math.Max(1, Math.Min(4 * _threads / Math.Ceiling(RankedUsers / block), Shape.Items / 4096.0));
        double lists = _threads * block * ((KeptItems * sizeof(long)) + (Float * Shape.Options.Dimension));
        return lists + (slices * RankedUsers * BestItems * sizeof(long)) + (Float * (double)Shape.Items);
    }

    /// <summary>Widths of the input and output of the layer with the most weights.</summary>
    private (long In, long Out) LargestLayer()
    {
        (long In, long Out) largest = (0, 0);
        foreach (Model.Tower tower in new[] { Shape.ItemTower, Shape.UserTower })
        {
            for (int layer = 0; layer < tower.Layers; layer++)
            {
                long size = (long)tower.Width(layer) * tower.Width(layer + 1);
                largest = size > largest.In * largest.Out ? (tower.Width(layer), tower.Width(layer + 1)) : largest;
            }
        }

        return largest;
    }
}

/// <summary>Of native/cuda.</summary>
internal sealed class CudaWorkspace : KernelWorkspace
{
    /// <summary>Bytes that cuBLASLt may take for a layer: for each of two products what dense/cublaslt.cu allows.</summary>
    public const long MostByLibrary = 2 * (32L << 20);

    private const long MostReserved = 1L << 28; // lookups; see embedding_gather_backward.cu
    private const long ReservedPart = 8;
    private const long ReservedBytes = 40;
    private const double Multiprocessors = 132; // the largest devices; fewer of them need less
    private readonly long _mostReserved;
    private readonly bool _byLibrary;

    public CudaWorkspace(TrainingShape shape, long freeBytes, bool byLibrary)
        : base(shape)
    {
        _mostReserved = freeBytes < 0 ? MostReserved : Math.Min(MostReserved, freeBytes / ReservedPart / ReservedBytes);
        _byLibrary = byLibrary;
    }

    /// <summary>
    /// Whether a device's linear layers go through cuBLASLt. Its backend says so in words alone; the estimate is no reason for a field of
    /// the C ABI.
    /// </summary>
    public static bool UsesLibrary(Device device) =>
        device.Kind == DeviceKind.Cuda && Device.Probe(DeviceKind.Cuda).Reason.Contains("linear by cuBLASLt");

    /// <summary>
    /// The backward pass of a layer, which takes more than its forward: by the library a copy of the gradients that a ReLU lets through
    /// and what the products take besides (counted at the most, since the library tells only when it is asked for the very product);
    /// else partial sums of the weights' gradient. See dense/linear.cu.
    /// </summary>
    public static double LinearBackward(long rows, long inputs, long outputs, bool isRelu, bool byLibrary)
    {
        if (byLibrary)
        {
            return (isRelu ? Float * (double)rows * outputs : 0) + MostByLibrary;
        }

        double size = inputs * outputs, tiles = Math.Ceiling(inputs / 64.0) * Math.Ceiling(outputs / 64.0);
        double most = Math.Max(1, Math.Min(Math.Min(256, Math.Ceiling(512 / tiles)), Math.Floor((1 << 24) / size)));
        double splits = Math.Min(most, Math.Ceiling(rows / 128.0));
        return splits > 1 ? Float * splits * size : 0;
    }

    /// <summary>Pieces are at least half of what there is.</summary>
    protected override double Slack => 1.25;

    protected override double UserUpdate() =>
        Update(Shape.Batch, Shape.UserValues.Most, Shape.Batch * Shape.UserValues.ClickedMean, Shape.Layout.Users.Count);

    protected override double ItemUpdate()
    {
        double lookups = (Shape.Batch * Shape.ItemValues.ClickedMean) + ((Shape.ItemRows - Shape.Batch) * Shape.ItemValues.Mean);
        return Update(Shape.ItemRows, Shape.ItemValues.Most, lookups, Shape.Layout.Items.Count);
    }

    protected override double Linear() => Math.Max(Linear(Shape.ItemTower, Shape.ItemRows), Linear(Shape.UserTower, Shape.Batch));

    protected override double Loss(long n, long m)
    {
        double width = RoundUp(Shape.Options.Dimension, Shape.Options.Dimension <= 128 ? 32 : 256);
        double packed = Shape.Options.Precision == Ops.Precision.Bfloat16 ? 2 * width : 6 * width;
        return (n * (packed + (Splits(n, m) * ((Float * width) + 8)) + 36)) + (m * (packed + (Splits(m, n) * ((Float * width) + 8)) + 36));
    }

    protected override double Ranking()
    {
        // Up to eight waves of three blocks a multiprocessor, and lists of 256 MiB; see retrieval/top_k.cu.
        double blocks = Math.Ceiling(RankedUsers / 64), wanted = 8 * 3 * Multiprocessors / blocks;
        double slices = Math.Max(1, Math.Min(Math.Floor(wanted), Math.Floor(Shape.Items / 2048.0)));
        double list = RankedUsers * KeptItems * sizeof(long);
        return Math.Min(slices * list, Math.Max(list, 256 << 20)) + (Float * (double)Shape.Items);
    }

    /// <summary>Parts that a row's columns are divided into, so that few rows fill the device, too.</summary>
    private static double Splits(long rows, long columns)
    {
        double blocks = Math.Max(1, rows / 64.0);
        return Math.Max(1, Math.Min(Math.Floor(2 * Multiprocessors / blocks), columns / 512.0));
    }

    private double Linear(Model.Tower tower, long rows) => Enumerable.Range(0, tower.Layers).Max(layer =>
        LinearBackward(rows, tower.Width(layer), tower.Width(layer + 1), layer + 1 < tower.Layers, _byLibrary));

    /// <summary>Memory for as many lookups as there can be, unless that is so much that they are counted first.</summary>
    private double Update(long rows, long mostValues, double lookups, int features)
    {
        double most = (double)rows * mostValues;
        double reserved = most <= _mostReserved ? most : 1.1 * lookups;
        int widest = Shape.Layout.Embeddings.Max(table => table.Dim);
        double longRuns = ((2 * Float * widest) + (36 * Shape.Layout.Embeddings.Count)) / 64.0;
        return (reserved * (24 + longRuns)) + (12.0 * rows * features);
    }
}
