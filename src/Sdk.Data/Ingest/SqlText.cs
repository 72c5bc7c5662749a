namespace Twintail.Data.Ingest;

/// <summary>SQL expressions that give a column as text, whatever its type in a Parquet file is.</summary>
internal static class SqlText
{
    /// <summary>An id. Tools that had to hold missing values write integers as floats: 17.0 is the id "17".</summary>
    public static string Id(SourceColumn column)
    {
        string name = column.Sql;
        return column.Type is "DOUBLE" or "FLOAT"
            ? $"CASE WHEN {name} = floor({name}) AND abs({name}) < 9e15 THEN CAST(CAST({name} AS BIGINT) AS VARCHAR) ELSE CAST({name} AS VARCHAR) END"
            : Text(column);
    }

    /// <summary>A feature: text, or a list of texts.</summary>
    public static string Feature(SourceColumn column) =>
        column.IsList ? $"CAST({column.Sql} AS VARCHAR[])" : Text(column);

    /// <summary>Any other value as text.</summary>
    public static string Text(SourceColumn column) =>
        column.IsText ? column.Sql : $"CAST({column.Sql} AS VARCHAR)";
}
