using System.Reflection;
using Twintail.Storage;

namespace Twintail.Training;

public sealed partial record TrainingOptions
{
    /// <summary>The options in the order of their declaration: name of the property and its type.</summary>
    public static IReadOnlyList<KeyValuePair<string, Type>> Describe()
    {
        var list = new List<KeyValuePair<string, Type>>();
        foreach (PropertyInfo property in Properties())
        {
            list.Add(new KeyValuePair<string, Type>(property.Name, property.PropertyType));
        }

        return list;
    }

    /// <summary>Reads options from JSON; those not named keep their defaults. Names may be snake_case, kebab-case or PascalCase.</summary>
    /// <exception cref="BadArgumentException">Not JSON, an unknown option, a value of the wrong type or out of range.</exception>
    public static TrainingOptions FromJson(string json)
    {
        var options = new TrainingOptions();
        options.Apply(json);
        options.Validate();
        return options;
    }

    /// <summary>
    /// Sets every option that a JSON object names; does not check the ranges (see <see cref="Validate"/>). The config.json of a model
    /// may be given as it is: then its member "options" is taken.
    /// </summary>
    /// <exception cref="BadArgumentException">Not a JSON object, an unknown option or a value of the wrong type.</exception>
    public void Apply(string json)
    {
        JsonObject members = JsonText.ParseObject(json, "options");
        foreach (KeyValuePair<string, object?> entry in members["options"] as JsonObject ?? members)
        {
            Set(entry.Key, AsText(entry.Key, entry.Value));
        }
    }

    /// <summary>All options as an indented JSON object that <see cref="FromJson"/> reads back exactly.</summary>
    public string ToJson() => JsonText.Write(ToJsonObject(), indented: true);

    /// <summary>Sets one option from text, as a command line gives it.</summary>
    /// <param name="name">snake_case, kebab-case or PascalCase.</param>
    /// <param name="value">Numbers in invariant format; lists joined by commas; flags joined by +.</param>
    /// <exception cref="BadArgumentException">There is no such option, or the value is of the wrong type.</exception>
    public void Set(string name, string value)
    {
        PropertyInfo property = Find(name);
        property.SetValue(this, OptionText.Parse(property.Name, property.PropertyType, value));
    }

    /// <summary>One option as text that <see cref="Set"/> reads back exactly.</summary>
    /// <exception cref="BadArgumentException">There is no such option.</exception>
    public string Get(string name) => OptionText.Format(Find(name).GetValue(this)!);

    internal JsonObject ToJsonObject()
    {
        var json = new JsonObject();
        foreach (PropertyInfo property in Properties())
        {
            object value = property.GetValue(this)!;
            json[OptionText.Words(property.Name, '_')] = value is Enum ? OptionText.Format(value) : value;
        }

        return json;
    }

    private static IEnumerable<PropertyInfo> Properties()
    {
        foreach (PropertyInfo property in typeof(TrainingOptions).GetProperties(BindingFlags.Public | BindingFlags.Instance))
        {
            if (property.CanWrite)
            {
                yield return property;
            }
        }
    }

    private static PropertyInfo Find(string name)
    {
        string key = OptionText.Key(name);
        foreach (PropertyInfo property in Properties())
        {
            if (OptionText.Key(property.Name) == key)
            {
                return property;
            }
        }

        throw new BadArgumentException(name, "an option of the training", "an unknown name");
    }

    private static string AsText(string name, object? value)
    {
        switch (value)
        {
            case string text:
                return text;
            case bool or long or double:
                return OptionText.Format(value);
            case List<object?> list when list.TrueForAll(x => x is long):
                return string.Join(",", list);
            default:
                throw new BadArgumentException(OptionText.Name(name), "a text, a number, true, false or a list of integers", JsonText.Write(value, false));
        }
    }
}
