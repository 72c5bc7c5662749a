using Twintail.Ops;
using Twintail.Sampling;
using Twintail.Storage;

namespace Twintail.Model;

/// <summary>Linear layers with ReLU between them. Its weights are a part of the network's one parameter array.</summary>
internal sealed unsafe class Tower
{
    private readonly int[] _widths;
    private readonly long[] _weights;
    private readonly long[] _biases;

    /// <summary>Lays a tower out.</summary>
    /// <param name="name">Prefix of its tensors' names.</param>
    /// <param name="input">Length of a gathered vector.</param>
    /// <param name="hidden">Widths of the hidden layers.</param>
    /// <param name="output">Length d of the final vectors.</param>
    /// <param name="start">First parameter of the tower.</param>
    public Tower(string name, int input, int[] hidden, int output, long start)
    {
        Name = name;
        _widths = new int[hidden.Length + 2];
        _widths[0] = input;
        hidden.CopyTo(_widths, 1);
        _widths[^1] = output;
        _weights = new long[Layers];
        _biases = new long[Layers];
        for (int layer = 0; layer < Layers; layer++)
        {
            _weights[layer] = start;
            _biases[layer] = start + ((long)_widths[layer] * _widths[layer + 1]);
            start = _biases[layer] + _widths[layer + 1];
        }

        End = start;
    }

    public string Name { get; }

    public int Layers => _widths.Length - 1;

    /// <summary>Width of the input (0) or of a layer's output (1, 2, ...).</summary>
    public int Width(int layer) => _widths[layer];

    /// <summary>One past the tower's last parameter.</summary>
    public long End { get; }

    /// <summary>Weights uniform with variance 2 / inputs (He et al. 2015), 1 / inputs in the last layer; biases 0.</summary>
    public void Initialize(Device device, DeviceBuffer<float> parameters, long seed, int tensor)
    {
        for (int layer = 0; layer < Layers; layer++)
        {
            float range = (float)Math.Sqrt((layer == Layers - 1 ? 3.0 : 6.0) / _widths[layer]);
            DeviceRandom.FillUniform(
                device, (ulong)seed, (uint)Purpose.Initialize, tensor + layer, -range, range, parameters.Pointer + _weights[layer],
                (long)_widths[layer] * _widths[layer + 1]);
        }
    }

    /// <summary>Takes the weights of a tower with the same layers: of the first one those of the shared inputs, of the others all.</summary>
    public void CopyWeights(Tower other, DeviceBuffer<float> parameters, IReadOnlyList<SharedInput> inputs)
    {
        float[] values = parameters.ToArray();
        for (int row = 0; row < _widths[1]; row++)
        {
            long from = other._weights[0] + ((long)row * other._widths[0]);
            long to = _weights[0] + ((long)row * _widths[0]);
            foreach (SharedInput input in inputs)
            {
                Array.Copy(values, from + input.Item, values, to + input.User, input.Width);
            }
        }

        for (int layer = 1; layer < Layers; layer++)
        {
            Array.Copy(values, other._weights[layer], values, _weights[layer], (long)_widths[layer] * _widths[layer + 1]);
        }

        parameters.CopyFrom(values);
    }

    /// <summary>n rows from activations.Inputs to activations.Outputs.</summary>
    public void Forward(Device device, float* parameters, long n, TowerActivations activations)
    {
        for (int layer = 0; layer < Layers; layer++)
        {
            Linear.Forward(
                device, n, _widths[layer], _widths[layer + 1], activations.Values(layer), parameters + _weights[layer],
                parameters + _biases[layer], Activate(layer), activations.Values(layer + 1));
        }
    }

    /// <summary>
    /// From the gradient of the outputs, in activations.Gradients(Layers), to those of the parameters (written to the same places of
    /// <paramref name="gradients"/>) and of the inputs, in activations.Gradients(0).
    /// </summary>
    public void Backward(Device device, float* parameters, float* gradients, long n, TowerActivations activations)
    {
        for (int layer = Layers - 1; layer >= 0; layer--)
        {
            Linear.Backward(
                device, n, _widths[layer], _widths[layer + 1], activations.Values(layer), parameters + _weights[layer], Activate(layer),
                activations.Values(layer + 1), activations.Gradients(layer + 1), activations.Gradients(layer),
                gradients + _weights[layer], gradients + _biases[layer]);
        }
    }

    public IEnumerable<TensorData> Tensors(DeviceBuffer<float> parameters)
    {
        for (int layer = 0; layer < Layers; layer++)
        {
            yield return TensorData.OfPart($"{Name}.{layer}.weight", parameters, _weights[layer], _widths[layer + 1], _widths[layer]);
            yield return TensorData.OfPart($"{Name}.{layer}.bias", parameters, _biases[layer], _widths[layer + 1]);
        }
    }

    public void Load(SafetensorsReader file, DeviceBuffer<float> parameters)
    {
        for (int layer = 0; layer < Layers; layer++)
        {
            long weights = (long)_widths[layer] * _widths[layer + 1];
            file.ReadTo($"{Name}.{layer}.weight", parameters, _weights[layer], weights);
            file.ReadTo($"{Name}.{layer}.bias", parameters, _biases[layer], _widths[layer + 1]);
        }
    }

    private Activation Activate(int layer) => layer == Layers - 1 ? Activation.None : Activation.Relu;
}

/// <summary>Inputs, outputs of every layer and, for training, their gradients, for up to a number of rows.</summary>
internal sealed unsafe class TowerActivations : IDisposable
{
    private readonly DeviceBuffer<float>[] _values;
    private readonly DeviceBuffer<float>[] _gradients;

    public TowerActivations(Device device, Tower tower, long rows, bool training)
    {
        Rows = rows;
        _values = new DeviceBuffer<float>[tower.Layers + 1];
        _gradients = new DeviceBuffer<float>[training ? tower.Layers + 1 : 0];
        try
        {
            for (int layer = 0; layer <= tower.Layers; layer++)
            {
                _values[layer] = device.Allocate<float>(rows * tower.Width(layer));
                if (training)
                {
                    _gradients[layer] = device.Allocate<float>(rows * tower.Width(layer));
                }
            }
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public long Rows { get; }

    /// <summary>The gathered vectors, [rows, input].</summary>
    public float* Inputs => Values(0);

    /// <summary>The final vectors, [rows, d].</summary>
    public float* Outputs => Values(_values.Length - 1);

    /// <summary>Gradient of the gathered vectors.</summary>
    public float* InputGradients => Gradients(0);

    /// <summary>Gradient of the final vectors.</summary>
    public float* OutputGradients => Gradients(_gradients.Length - 1);

    public float* Values(int layer) => _values[layer].Pointer;

    public float* Gradients(int layer) => _gradients[layer].Pointer;

    public void Dispose()
    {
        foreach (DeviceBuffer<float> buffer in _values)
        {
            buffer?.Dispose();
        }

        foreach (DeviceBuffer<float> buffer in _gradients)
        {
            buffer?.Dispose();
        }
    }
}
