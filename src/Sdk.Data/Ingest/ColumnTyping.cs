using System.Globalization;
using System.Text;

namespace Twintail.Data.Ingest;

/// <summary>Whether a column is a number to bucket or a set of categories.</summary>
/// <remarks>
/// A column is numeric if the options say so, or if
/// (1) it is single-valued and at least nine in ten of its values are finite numbers,
/// (2) it has more than 32 different ones, or more than 8 if some have a fraction: fewer are codes or grades, and categories lose nothing,
/// (3) no whole number has a leading zero, and the name does not end in id, code, key, sku, isbn, zip, hash, number or no: such are codes.
/// A value of a numeric column that is no number is an error that names its row. NaN is a missing value.
/// </remarks>
internal static class ColumnTyping
{
    private const int FewWhole = 32;
    private const int FewFractional = 8;
    private const double NumberShare = 0.9;

    private static readonly string[] CodeNames = ["id", "code", "key", "sku", "isbn", "zip", "hash", "number", "no"];

    /// <summary>The number of each text; NaN for missing ("nan"), null if the column is not numeric.</summary>
    /// <param name="column">The values read.</param>
    /// <param name="counts">Rows with each text.</param>
    /// <param name="forced">The options say that it is a number.</param>
    /// <param name="offender">A text that is no number in a column that is numeric, or -1.</param>
    public static double[]? Numbers(TokenColumn column, int[] counts, bool forced, out int offender)
    {
        offender = -1;
        if ((column.IsMultiValued && !forced) || column.Texts.Count == 0)
        {
            return null;
        }

        var numbers = new double[column.Texts.Count];
        long parsed = 0, total = 0;
        bool fraction = false, code = IsCodeName(column.Name);
        for (int i = 0; i < numbers.Length; i++)
        {
            ReadOnlySpan<byte> text = column.Texts[i];
            bool isNumber = TryParse(text, out numbers[i]);
            total += counts[i];
            parsed += isNumber ? counts[i] : 0;
            offender = isNumber || offender >= 0 ? offender : i;
            fraction |= isNumber && numbers[i] != Math.Floor(numbers[i]);
            code |= isNumber && text.Length > 1 && text[0] == (byte)'0' && text.IndexOfAnyExceptInRange((byte)'0', (byte)'9') < 0;
        }

        bool numeric = forced || (!code && parsed >= NumberShare * total && numbers.Length > (fraction ? FewFractional : FewWhole));
        offender = numeric ? offender : -1;
        return numeric ? numbers : null;
    }

    /// <summary>Reads a number in the invariant culture; "nan" is one, infinities are not.</summary>
    public static bool TryParse(ReadOnlySpan<byte> text, out double number) =>
        double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out number) && !double.IsInfinity(number);

    // "item_id", "brandCode", "ZIP", but not "paid" or "barcode reader": the last word decides.
    private static bool IsCodeName(string name)
    {
        var word = new StringBuilder();
        for (int i = 0; i < name.Length; i++)
        {
            bool starts = char.IsUpper(name[i]) && i > 0 && !char.IsUpper(name[i - 1]);
            if (starts || !char.IsLetter(name[i]))
            {
                word.Clear();
            }

            if (char.IsLetter(name[i]))
            {
                word.Append(char.ToLowerInvariant(name[i]));
            }
        }

        return CodeNames.Contains(word.ToString());
    }
}
