using System.Globalization;
using DuckDB.NET.Native;

namespace Twintail.Data.Duck;

/// <summary>A statement failed inside DuckDB; the message is DuckDB's.</summary>
internal sealed class DuckDbException(string message) : Exception(message);

/// <summary>
/// An in-memory DuckDB. It goes to the C API directly, because the ADO.NET layer makes an object of every value and 100 million clicks
/// have 200 million of them.
/// </summary>
internal sealed class DuckDb : IDisposable
{
    private readonly DuckDBDatabase _database;
    private readonly DuckDBNativeConnection _connection;

    public DuckDb(int threads)
    {
        Check(NativeMethods.Startup.DuckDBOpen(":memory:", out _database), "cannot open an in-memory DuckDB");
        Check(NativeMethods.Startup.DuckDBConnect(_database, out _connection), "cannot connect to an in-memory DuckDB");
        // Rows must arrive in the order of the file for any number of threads; and nothing is fetched from the network.
        Execute("SET preserve_insertion_order=true; SET TimeZone='UTC'; SET autoinstall_known_extensions=false");
        string spill = Path.Combine(Path.GetTempPath(), "twintail-" + Guid.NewGuid().ToString("N"));
        Execute($"SET temp_directory={Quote(spill)}");
        if (threads > 0)
        {
            Execute("SET threads=" + threads.ToString(CultureInfo.InvariantCulture));
        }
    }

    /// <summary>DuckDB's version, as it names itself.</summary>
    public static string Version => NativeMethods.Startup.DuckDBLibraryVersion();

    /// <summary>A text as an SQL literal.</summary>
    public static string Quote(string text) => "'" + text.Replace("'", "''", StringComparison.Ordinal) + "'";

    /// <summary>The path of one file as an SQL literal. DuckDB takes every path for a glob, so the characters of one are made to mean themselves.</summary>
    public static string QuotePath(string path) => Quote(
        path.Replace("[", "[[]", StringComparison.Ordinal).Replace("*", "[*]", StringComparison.Ordinal).Replace("?", "[?]", StringComparison.Ordinal));

    /// <summary>A name as an SQL identifier.</summary>
    public static string Name(string name) => "\"" + name.Replace("\"", "\"\"", StringComparison.Ordinal) + "\"";

    public void Execute(string sql)
    {
        using DuckDbRows rows = Query(sql);
        while (rows.Next())
        {
        }
    }

    /// <summary>Runs a query whose rows are then read chunk by chunk while it goes on.</summary>
    /// <exception cref="DuckDbException">DuckDB refuses it.</exception>
    public DuckDbRows Query(string sql)
    {
        int count = NativeMethods.ExtractStatements.DuckDBExtractStatements(_connection, sql, out DuckDBExtractedStatements statements);
        using (statements)
        {
            if (count <= 0)
            {
                throw new DuckDbException(NativeMethods.ExtractStatements.DuckDBExtractStatementsError(statements));
            }

            for (int i = 0; i + 1 < count; i++)
            {
                using DuckDbRows rows = Run(statements, i);
                rows.Next();
            }

            return Run(statements, count - 1);
        }
    }

    /// <summary>All rows of a small result whose columns are all VARCHAR; null where the value is null.</summary>
    public List<string?[]> Texts(string sql)
    {
        var result = new List<string?[]>();
        using DuckDbRows rows = Query(sql);
        while (rows.Next())
        {
            for (int row = 0; row < rows.Count; row++)
            {
                var texts = new string?[rows.Columns];
                for (int column = 0; column < texts.Length; column++)
                {
                    TextVector vector = rows.Text(column);
                    texts[column] = vector.IsNull(row) ? null : System.Text.Encoding.UTF8.GetString(vector[row]);
                }

                result.Add(texts);
            }
        }

        return result;
    }

    public void Dispose()
    {
        _connection.Dispose();
        _database.Dispose();
    }

    private DuckDbRows Run(DuckDBExtractedStatements statements, int index)
    {
        DuckDBState state = NativeMethods.ExtractStatements.DuckDBPrepareExtractedStatement(
            _connection, statements, index, out DuckDBPreparedStatement prepared);
        using (prepared)
        {
            if (state != DuckDBState.Success)
            {
                throw new DuckDbException(NativeMethods.PreparedStatements.DuckDBPrepareError(prepared));
            }

            state = NativeMethods.PreparedStatements.DuckDBExecutePreparedStreaming(prepared, out DuckDBResult result);
            if (state != DuckDBState.Success)
            {
                string message = NativeMethods.Query.DuckDBResultError(ref result);
                NativeMethods.Query.DuckDBDestroyResult(ref result);
                throw new DuckDbException(message);
            }

            return new DuckDbRows(result);
        }
    }

    private static void Check(DuckDBState state, string problem)
    {
        if (state != DuckDBState.Success)
        {
            throw new DuckDbException(problem);
        }
    }
}
