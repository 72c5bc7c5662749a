using Twintail.Features;
using Twintail.Model;

namespace Twintail.Evaluation;

/// <summary>Exact full ranking of held-out clicks, overall and by slice of popularity.</summary>
public sealed class Evaluator
{
    /// <summary>Prepares an evaluation.</summary>
    /// <param name="catalogue">Items, users and training clicks: of the model, or <see cref="Catalogue.FromDataset"/>.</param>
    /// <param name="splits">Clicks by split name, in rows of the catalogue.</param>
    /// <param name="options">What to evaluate.</param>
    /// <exception cref="BadArgumentException">A split is missing, has no clicks to be found, or an option is out of range.</exception>
    public Evaluator(Catalogue catalogue, IReadOnlyDictionary<string, Interactions> splits, EvaluationOptions? options = null) => throw new NotImplementedException();

    /// <summary>Evaluates a model whose catalogue has the same rows.</summary>
    public EvaluationReport Evaluate(TwoTowerModel model, string name = "model") => throw new NotImplementedException();

    /// <summary>Evaluates the ranking by training clicks, the same for everybody.</summary>
    public EvaluationReport EvaluatePopularity(Device device) => throw new NotImplementedException();

    /// <summary>Evaluates a random ranking for each user: what chance gives.</summary>
    public EvaluationReport EvaluateRandom(Device device) => throw new NotImplementedException();
}
