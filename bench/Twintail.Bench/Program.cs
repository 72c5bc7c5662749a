using System.Globalization;
using Twintail.Bench.Growth;
using Twintail.Bench.Running;
using Twintail.Bench.Sdk;

CultureInfo.DefaultThreadCurrentCulture = CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
try
{
    var options = new Options(args);
    return (options.Has("growth") ? "growth" : options.Verb) switch
    {
        "run" => RunCommand.Run(options),
        "measure" => MeasureCommand.Run(options),
        "verify" => VerifyCommand.Run(options),
        "memory" => MemoryCommand.Run(options),
        "growth" => GrowthCommand.Run(options),
        "sdk" => SdkCommand.Run(options),
        _ => throw new FormatException($"expected run, verify, measure, memory, growth or sdk, got '{options.Verb}'"),
    };
}
catch (Exception error) when (error is FormatException or ArgumentException or WrongResultException or Twintail.TwintailException)
{
    Console.Error.WriteLine($"error: {error.Message}");
    return 1;
}
