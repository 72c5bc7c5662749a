using Twintail.Features;
using Twintail.Retrieval;
using Twintail.Training;

namespace Twintail.Model;

/// <summary>
/// A trained two-tower model with its catalogue. Vectors are of unit length: the score of a user and an item is their dot product.
/// </summary>
public sealed class TwoTowerModel : IDisposable
{
    /// <summary>The device that holds the weights.</summary>
    public Device Device => throw new NotImplementedException();

    /// <summary>The options that it was trained with.</summary>
    public TrainingOptions Options => throw new NotImplementedException();

    /// <summary>Items, users and histories.</summary>
    public Catalogue Catalogue => throw new NotImplementedException();

    /// <summary>Whether a folder holds a model.</summary>
    public static bool Exists(string directory) => throw new NotImplementedException();

    /// <summary>Reads the folder that <see cref="Save"/> or a training has written.</summary>
    /// <exception cref="CorruptFileException">A file is damaged or does not fit.</exception>
    /// <exception cref="IOException">A file is missing or cannot be read.</exception>
    public static TwoTowerModel Load(Device device, string directory) => throw new NotImplementedException();

    /// <summary>Writes config.json, weights.safetensors and catalogue.safetensors, each of them atomically.</summary>
    public void Save(string directory) => throw new NotImplementedException();

    /// <summary>Unit vectors [rows.Length, d] of items.</summary>
    public float[] EmbedItems(int[] rows) => throw new NotImplementedException();

    /// <summary>Unit vectors [rows.Length, d] of users of the catalogue, with their features and histories.</summary>
    public float[] EmbedUsers(int[] rows) => throw new NotImplementedException();

    /// <summary>Unit vectors [histories.Count, d] of unseen users: item rows that they have clicked, and features if known.</summary>
    /// <param name="histories">Item rows, oldest first.</param>
    /// <param name="features">Their features, with the columns of the catalogue's users; null: unknown.</param>
    public float[] EmbedUsers(IReadOnlyList<int[]> histories, FeatureTable? features = null) => throw new NotImplementedException();

    /// <summary>The best items for a user of the catalogue.</summary>
    /// <param name="userId">External id.</param>
    /// <param name="k">How many.</param>
    /// <param name="excludeHistory">Whether the user's training items are left out.</param>
    /// <exception cref="BadArgumentException">The catalogue has no such user.</exception>
    public Recommendation Recommend(string userId, int k, bool excludeHistory = true) => throw new NotImplementedException();

    /// <summary>The best items for an unseen user with a history; ids that the catalogue lacks are ignored and counted.</summary>
    public Recommendation Recommend(IReadOnlyList<string> history, int k, bool excludeHistory = true) => throw new NotImplementedException();

    /// <summary>The items whose vectors are nearest to an item's, itself left out.</summary>
    /// <exception cref="BadArgumentException">The catalogue has no such item.</exception>
    public Recommendation Similar(string itemId, int k) => throw new NotImplementedException();

    /// <summary>Frees the weights.</summary>
    public void Dispose() => throw new NotImplementedException();
}
