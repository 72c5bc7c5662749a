using Twintail.Ops;

namespace Twintail.Tests.Ops;

internal sealed class ClipTests : OpFixture
{
    [Test]
    public void KeepsValuesWithinBounds()
    {
        float[] values = [.. Draw.Fresh().Normals(1003), float.NaN, float.NegativeInfinity];
        using DeviceBuffer<float> buffer = Device.Upload(values);
        Clip.Apply(Device, -.5f, .75f, buffer);
        Assert.That(buffer.ToArray(), Is.EqualTo(Array.ConvertAll(values, x => float.IsNaN(x) ? x : Math.Clamp(x, -.5f, .75f))));
    }

    [Test]
    public void BadArgumentsAreNamed()
    {
        using DeviceBuffer<float> buffer = Device.Allocate<float>(4);
        Refused("low", () => Clip.Apply(Device, 1, 0, buffer));
        Refused("low", () => Clip.Apply(Device, float.NaN, 0, buffer));
        Refused("values", () => Clip.Apply(Device, 0, 1, null!));
    }
}
