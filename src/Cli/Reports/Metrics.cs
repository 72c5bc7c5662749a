using System.Text.Json.Nodes;

namespace Twintail.Cli.Reports;

/// <summary>The course of a training, read back from metrics.jsonl: it is there after a resume, too.</summary>
internal sealed class Metrics
{
    private readonly List<JsonObject> _lines;

    private Metrics(List<JsonObject> lines) => _lines = lines;

    /// <summary>Reads the file of a training.</summary>
    public static Metrics Read(string directory)
    {
        string path = Path.Combine(directory, "metrics.jsonl");
        var lines = File.Exists(path)
            ? File.ReadLines(path).Where(line => line.Length > 0).Select(line => JsonNode.Parse(line)!.AsObject()).ToList()
            : [];
        return new Metrics(lines);
    }

    /// <summary>Number of finished epochs.</summary>
    public int Epochs => _lines.Count(IsEpoch);

    /// <summary>A loss over the epochs: the mean of each.</summary>
    public Curve Loss(string key, string name) => Of(name, line => (double?)line[key]);

    /// <summary>A metric of a slice of the validation clicks over the epochs; null where there is none.</summary>
    public Curve? Valid(string slice, string metric)
    {
        Curve curve = Of(slice, line => (double?)line["valid"]?["slices"]?[slice]?[metric]?["value"]);
        return curve.X.Length == 0 ? null : curve;
    }

    private static bool IsEpoch(JsonObject line) => (string?)line["kind"] == "epoch";

    private Curve Of(string name, Func<JsonObject, double?> value)
    {
        (double X, double Y)[] points = _lines.Where(IsEpoch)
            .Select(line => ((double)line["epoch"]!, value(line) ?? double.NaN))
            .Where(point => double.IsFinite(point.Item2))
            .ToArray();
        return new Curve(name, points.Select(p => p.X).ToArray(), points.Select(p => p.Y).ToArray());
    }
}
