using Twintail.Storage;

namespace Twintail.Training;

/// <summary>Where a training stands, beside weights and optimiser states. Everything random follows from seed and step.</summary>
internal sealed class TrainingState
{
    /// <summary>Steps done.</summary>
    public long Step { get; set; }

    /// <summary>Sum of the main loss over the steps of the epoch.</summary>
    public double MainSum { get; set; }

    /// <summary>Sum of the self-supervised loss over the steps of the epoch.</summary>
    public double SelfSum { get; set; }

    /// <summary>Steps in the sums.</summary>
    public long Summed { get; set; }

    /// <summary>Epoch, counted from 1, with the best recall; 0: none yet.</summary>
    public int BestEpoch { get; set; }

    public double BestRecall { get; set; } = double.NaN;

    public bool StoppedEarly { get; set; }

    /// <summary>Length of metrics.jsonl that belongs to this state.</summary>
    public long MetricsLength { get; set; }

    public double MeanMain => Summed > 0 ? MainSum / Summed : 0;

    public double MeanSelf => Summed > 0 ? SelfSum / Summed : 0;

    public void BeginEpoch()
    {
        MainSum = 0;
        SelfSum = 0;
        Summed = 0;
    }

    /// <summary>The sums are written as their bits, since not every runtime prints doubles so that they read back exactly.</summary>
    public string ToJson()
    {
        var json = new JsonObject
        {
            ["step"] = Step,
            ["main_sum_bits"] = BitConverter.DoubleToInt64Bits(MainSum),
            ["self_sum_bits"] = BitConverter.DoubleToInt64Bits(SelfSum),
            ["summed"] = Summed,
            ["best_epoch"] = BestEpoch,
            ["best_recall_bits"] = BitConverter.DoubleToInt64Bits(BestRecall),
            ["stopped_early"] = StoppedEarly,
            ["metrics_length"] = MetricsLength,
        };
        return JsonText.Write(json, indented: false);
    }

    /// <exception cref="BadArgumentException">The text is not what <see cref="ToJson"/> gives.</exception>
    public static TrainingState FromJson(string text)
    {
        JsonObject json = JsonText.ParseObject(text, "state");
        return new TrainingState
        {
            Step = Integer(json, "step"),
            MainSum = BitConverter.Int64BitsToDouble(Integer(json, "main_sum_bits")),
            SelfSum = BitConverter.Int64BitsToDouble(Integer(json, "self_sum_bits")),
            Summed = Integer(json, "summed"),
            BestEpoch = (int)Integer(json, "best_epoch"),
            BestRecall = BitConverter.Int64BitsToDouble(Integer(json, "best_recall_bits")),
            StoppedEarly = json["stopped_early"] is true,
            MetricsLength = Integer(json, "metrics_length"),
        };
    }

    private static long Integer(JsonObject json, string name) =>
        json[name] is long value ? value : throw new BadArgumentException("state." + name, "an integer", JsonText.Write(json[name], false));
}
