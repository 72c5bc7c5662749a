using TorchSharp;
using static TorchSharp.torch;

namespace Twintail.Bench.Peers;

/// <summary>
/// Row-wise Adagrad in stock ops, because TorchSharp's own Adagrad refuses sparse gradients:
/// state[row] += mean(g²); w[row] −= lr g / (√state[row] + ε).
/// </summary>
internal sealed class RowwiseAdagrad(float learningRate, float epsilon)
{
    public const float LearningRate = 0.05f;

    public const float Epsilon = 1e-8f;

    /// <summary>As one writes it first. The gradient is EmbeddingBag's, in which a row may occur many times.</summary>
    public void StepNaively(Tensor weights, Tensor state, Tensor sparseGradient)
    {
        using var scope = NewDisposeScope();
        using var mode = no_grad();
        var (rows, inverse, _) = sparseGradient.SparseIndices[0].unique(return_inverse: true);
        var values = sparseGradient.SparseValues;
        var merged = zeros(rows.shape[0], values.shape[1]).index_add_(0, inverse!, values, 1);
        state.index_add_(0, rows, merged.square().mean([1]), 1);
        var roots = state.index_select(0, rows).sqrt() + epsilon;
        weights.index_add_(0, rows, merged / roots.unsqueeze(1), -learningRate);
    }

    /// <summary>
    /// Rows occur once each. scatter_add_ along whole rows does the same as index_add_ several times faster; the gradients are
    /// overwritten.
    /// </summary>
    public void StepMerged(Tensor weights, Tensor state, Tensor rows, Tensor gradients)
    {
        using var scope = NewDisposeScope();
        using var mode = no_grad();
        state.scatter_add_(0, rows, gradients.square().mean([1]));
        var step = state.index_select(0, rows).sqrt_().add_(epsilon).reciprocal_().mul_(-learningRate);
        gradients.mul_(step.unsqueeze(1));
        weights.scatter_add_(0, rows.unsqueeze(1).expand(gradients.shape), gradients);
    }
}
