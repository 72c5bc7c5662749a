using System.Diagnostics;
using Spectre.Console;
using Spectre.Console.Rendering;
using Twintail.Evaluation;
using Twintail.Training;

namespace Twintail.Cli.Terminal;

/// <summary>
/// Shows how a training goes: a moving bar on a terminal, a line now and then elsewhere. Also keeps the course for the report.
/// </summary>
internal sealed class ProgressLine : IProgress<TrainingProgress>
{
    private static readonly TimeSpan PlainInterval = TimeSpan.FromSeconds(10);

    private readonly Screen _screen;
    private readonly TrainingOptions _options;
    private readonly string _name;
    private readonly Stopwatch _sinceLine = Stopwatch.StartNew();
    private ProgressTask? _task;

    private ProgressLine(Screen screen, TrainingOptions options, string name)
    {
        _screen = screen;
        _options = options;
        _name = name;
    }

    /// <summary>Runs a training with a progress display.</summary>
    /// <param name="screen">Where to show it.</param>
    /// <param name="options">For α.</param>
    /// <param name="name">In front of each line; may be empty.</param>
    /// <param name="run">The training.</param>
    public static TrainingResult Show(
        Screen screen, TrainingOptions options, string name, Func<IProgress<TrainingProgress>, TrainingResult> run)
    {
        var line = new ProgressLine(screen, options, name);
        if (!screen.IsLive)
        {
            return run(line);
        }

        return new Progress(screen.Notes, TimeProvider.System)
            .AutoClear(true)
            .ExcludeVerticalPadding()
            .Columns(new TaskDescriptionColumn(), new ProgressBarColumn { Width = 24 }, new PercentageColumn(), new TextColumn())
            .Start(context =>
            {
                line._task = context.AddTask(Markup.Escape(name.Length == 0 ? "training" : name));
                return run(line);
            });
    }

    /// <inheritdoc/>
    public void Report(TrainingProgress value)
    {
        bool epochEnds = value.Valid != null || (value.Steps > 0 && value.Step == value.Steps);
        if (_task != null)
        {
            _task.MaxValue = Math.Max(1, value.Steps);
            _task.Value = value.Step;
            _task.Tag = Live(value);
        }

        if (value.Valid != null || (_task == null && (epochEnds || _sinceLine.Elapsed > PlainInterval)))
        {
            _sinceLine.Restart();
            _screen.Note(Plain(value));
        }
    }

    private string Losses(TrainingProgress value) => _options.IsSelfSupervised
        ? FormattableString.Invariant($"loss {value.MainLoss:F4} + {_options.Alpha}·{value.SelfLoss:F4}")
        : FormattableString.Invariant($"loss {value.MainLoss:F4}");

    private string Live(TrainingProgress value) =>
        $"epoch {value.Epoch}/{value.Epochs}  {Losses(value)}  {Speed(value.ClicksPerSecond)}  {Left(value.TimeLeft)}";

    private string Plain(TrainingProgress value)
    {
        string start = (_name.Length == 0 ? "" : _name + ": ") + $"epoch {value.Epoch}/{value.Epochs}, step {value.Step}/{value.Steps}";
        string valid = "";
        if (value.Valid is { } report)
        {
            string metric = $"recall@{report.Options.Ks[0]}";
            valid = FormattableString.Invariant($", valid {metric} {report["all"][metric].Value:F4}");
        }

        return $"{start}: {Losses(value)}{valid}, {Speed(value.ClicksPerSecond)}, {Left(value.TimeLeft)}";
    }

    private static string Speed(double clicks) => clicks switch
    {
        >= 999_500 => FormattableString.Invariant($"{clicks / 1e6:F2}M clicks/s"),
        >= 10_000 => FormattableString.Invariant($"{clicks / 1e3:F0}k clicks/s"),
        >= 1000 => FormattableString.Invariant($"{clicks / 1e3:F1}k clicks/s"),
        _ => FormattableString.Invariant($"{clicks:F0} clicks/s"),
    };

    private static string Left(TimeSpan time) => time.TotalHours >= 1
        ? FormattableString.Invariant($"{(int)time.TotalHours} h {time.Minutes} min left")
        : time.TotalMinutes >= 1
            ? FormattableString.Invariant($"{time.Minutes} min {time.Seconds} s left")
            : FormattableString.Invariant($"{Math.Max(0, time.TotalSeconds):F0} s left");

    /// <summary>The text beside the bar.</summary>
    private sealed class TextColumn : ProgressColumn
    {
        protected override bool NoWrap => true;

        public override IRenderable Render(RenderOptions options, ProgressTask task, TimeSpan deltaTime) =>
            new Text(task.Tag as string ?? "");
    }
}
