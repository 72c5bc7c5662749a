using Twintail.Features;

namespace Twintail.Bench.Data;

/// <summary>What one step reads, as found out from Twintail.</summary>
/// <param name="Clicked">[n].</param>
/// <param name="SelfItems">[m].</param>
/// <param name="Users">[user feature].</param>
/// <param name="Items">[item feature].</param>
internal sealed record RecordedStep(int[] Clicked, int[] SelfItems, KeptValues[] Users, KeptValues[] Items);

/// <summary>Steps drawn elsewhere (by Twintail), so that results can be compared.</summary>
internal sealed class RecordedStepLookups(
    int n, int m, IReadOnlyList<FeatureBinding> users, IReadOnlyList<FeatureBinding> items, IReadOnlyList<RecordedStep> steps)
    : StepLookups(n, m, users, items)
{
    private int _step;

    public override void Prepare()
    {
        RecordedStep step = steps[_step++];
        step.Clicked.CopyTo(Clicked, 0);
        step.SelfItems.CopyTo(SelfItems, 0);
        foreach (var (to, from) in Users.Concat(Items).Zip(step.Users.Concat(step.Items)))
        {
            to.Clear(from.Count);
            to.Add(from.Values);
            from.Offsets.CopyTo(to.Offsets, 0);
        }
    }
}

/// <summary>Hands on to one that can be exchanged: recorded steps while results are compared, own ones while time is taken.</summary>
internal sealed class ExchangeableStepLookups(int n, int m, IReadOnlyList<FeatureBinding> users, IReadOnlyList<FeatureBinding> items)
    : StepLookups(n, m, users, items)
{
    public required StepLookups Inner { get; set; }

    public override KeptValues[] Users => Inner.Users;

    public override KeptValues[] Items => Inner.Items;

    public override int[] Clicked => Inner.Clicked;

    public override int[] SelfItems => Inner.SelfItems;

    public override void Prepare() => Inner.Prepare();
}
