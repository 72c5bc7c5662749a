namespace Twintail.Evaluation;
internal sealed class UserValues { }
internal static class Bootstrap
{
    public static EvaluationReport Difference(EvaluationReport a, EvaluationReport b) => throw new NotImplementedException();
}
