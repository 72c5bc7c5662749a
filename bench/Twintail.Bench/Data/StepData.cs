using Twintail.Features;
using Twintail.Ops;
using Twintail.Training;

namespace Twintail.Bench.Data;

/// <summary>
/// Clicks and a catalogue of the shape of goodbooks-10k: 10,000 items with eight features besides their id, of which four have
/// several values, 48,000 users without features, 19 clicks each in the mean, long-tailed. Vocabularies, values per item and
/// shares of missing values are those of that data set.
/// </summary>
internal static class StepData
{
    private static readonly (string Name, int Vocabulary, double Missing, int MostValues)[] Columns =
    [
        ("authors", 5834, 0, 2),
        ("language", 25, 0.11, 1),
        ("year_bin", 40, 0, 1),
        ("publisher_code", 758, 0.09, 1),
        ("series", 1686, 0.56, 1),
        ("genres", 51, 0, 12),
        ("tags", 3275, 0, 24),
        ("title_tokens", 8808, 0, 5),
    ];

    /// <summary>What both the trainer and its peers follow: the SDK's defaults but for the batch and the views.</summary>
    public static TrainingOptions Options(int clicks, int selfItems, int d, int threads) => new()
    {
        BatchSize = clicks,
        SelfBatchSize = selfItems,
        Dimension = d,
        Threads = threads,
        Epochs = 1000,
        Augmentation = Transforms.Correlated, // the peers' masks
    };

    /// <summary>A multiple of <paramref name="batch"/> clicks, so that all batches are of that size.</summary>
    public static Dataset Create(int batch, int items = 10_000, int users = 48_000)
    {
        var random = new SplitMix(31);
        FeatureColumn[] columns = [.. Columns.Select(c => Column(ref random, c.Name, c.Vocabulary, c.Missing, c.MostValues, items))];
        var clickUsers = new List<int>();
        var clickItems = new List<int>();
        var seen = new HashSet<int>();
        for (int user = 0; user < users; user++)
        {
            seen.Clear();
            for (int left = 1 + random.Below(37); left > 0; left--)
            {
                int item = random.Popular(items + 1) - 1;
                if (item < items && seen.Add(item))
                {
                    clickUsers.Add(user);
                    clickItems.Add(item);
                }
            }
        }

        int count = clickUsers.Count / batch * batch;
        var splits = new Dictionary<string, Interactions>
        {
            [Dataset.Train] = new Interactions([.. clickUsers.Take(count)], [.. clickItems.Take(count)]),
        };
        return new Dataset(new FeatureTable(Ids('i', items), columns), new FeatureTable(Ids('u', users), []), splits);
    }

    private static string[] Ids(char prefix, int count) => [.. Enumerable.Range(0, count).Select(i => $"{prefix}{i}")];

    /// <summary>Single-valued with id 0 where missing, or multi-valued with 1 to <paramref name="mostValues"/> values.</summary>
    private static FeatureColumn Column(ref SplitMix random, string name, int vocabulary, double missing, int mostValues, int rows)
    {
        var values = new List<int>();
        var offsets = new long[rows + 1];
        for (int row = 0; row < rows; row++)
        {
            int count = mostValues == 1 ? 1 : 1 + random.Below(mostValues);
            for (int i = 0; i < count; i++)
            {
                values.Add(random.Unit() < missing ? 0 : random.Popular(vocabulary));
            }

            offsets[row + 1] = values.Count;
        }

        string[] texts = ["", .. Enumerable.Range(1, vocabulary - 1).Select(v => $"{name}{v}")];
        return new FeatureColumn(name, texts, [.. values], mostValues == 1 ? null : offsets);
    }
}
