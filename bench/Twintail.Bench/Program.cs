using System.Globalization;
using Twintail.Bench.Running;

CultureInfo.DefaultThreadCurrentCulture = CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
try
{
    var options = new Options(args);
    return options.Verb switch
    {
        "run" => RunCommand.Run(options),
        "measure" => MeasureCommand.Run(options),
        "memory" => MemoryCommand.Run(options),
        _ => throw new FormatException($"expected run, measure or memory, got '{options.Verb}'"),
    };
}
catch (Exception error) when (error is FormatException or ArgumentException or WrongResultException or Twintail.TwintailException)
{
    Console.Error.WriteLine($"error: {error.Message}");
    return 1;
}
