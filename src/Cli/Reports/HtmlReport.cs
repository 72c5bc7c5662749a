using System.Net;
using System.Text;

namespace Twintail.Cli.Reports;

/// <summary>A report in one HTML file: pictures are inside, nothing is loaded from elsewhere.</summary>
internal sealed class HtmlReport(string title)
{
    private const string Style = """
        :root { color-scheme: light; }
        body { font: 16px/1.5 system-ui, "DejaVu Sans", sans-serif; color: #1c2733; background: #f5f6f8; margin: 0; }
        main { max-width: 1080px; margin: 0 auto; padding: 32px 24px 64px; }
        h1 { font-size: 28px; margin: 0 0 4px; }
        h2 { font-size: 19px; margin: 36px 0 10px; }
        p { margin: 8px 0; max-width: 75ch; }
        .lead { color: #5a6775; }
        figure { margin: 12px 0; background: #fff; border: 1px solid #e2e6ea; border-radius: 8px; padding: 10px; }
        img { max-width: 100%; height: auto; display: block; margin: 0 auto; }
        .scroll { overflow-x: auto; }
        table { border-collapse: collapse; background: #fff; border: 1px solid #e2e6ea; border-radius: 8px; font-size: 14px; margin: 8px 0; }
        th, td { padding: 6px 12px; text-align: right; border-bottom: 1px solid #eef1f4; white-space: nowrap; }
        th { background: #eef1f4; font-weight: 600; }
        th:first-child, td:first-child { text-align: left; }
        tr:last-child td { border-bottom: 0; }
        .wide td:nth-child(2) { text-align: left; white-space: normal; }
        .low { color: #7b8794; font-size: 12px; display: block; }
        b { color: #0b5c8e; }
        """;

    private readonly StringBuilder _body = new();

    /// <summary>A heading.</summary>
    public HtmlReport Section(string heading)
    {
        _body.Append("<h2>").Append(WebUtility.HtmlEncode(heading)).Append("</h2>\n");
        return this;
    }

    /// <summary>A paragraph of plain text.</summary>
    public HtmlReport Text(string text, bool lead = false)
    {
        _body.Append(lead ? "<p class=\"lead\">" : "<p>").Append(WebUtility.HtmlEncode(text)).Append("</p>\n");
        return this;
    }

    /// <summary>A picture.</summary>
    public HtmlReport Picture(byte[] png, string description)
    {
        _body.Append("<figure><img alt=\"").Append(WebUtility.HtmlEncode(description)).Append("\" src=\"data:image/png;base64,")
            .Append(Convert.ToBase64String(png)).Append("\"></figure>\n");
        return this;
    }

    /// <summary>A table of plain texts. A cell may have a second, smaller text after a tab; one that starts with * is emphasised.</summary>
    public HtmlReport Table(IReadOnlyList<string> header, IEnumerable<IReadOnlyList<string>> rows, bool wide = false)
    {
        _body.Append("<div class=\"scroll\"><table").Append(wide ? " class=\"wide\"" : "").Append("><thead><tr>");
        foreach (string cell in header)
        {
            _body.Append("<th>").Append(WebUtility.HtmlEncode(cell)).Append("</th>");
        }

        _body.Append("</tr></thead><tbody>\n");
        foreach (IReadOnlyList<string> row in rows)
        {
            _body.Append("<tr>");
            foreach (string cell in row)
            {
                Cell(cell);
            }

            _body.Append("</tr>\n");
        }

        _body.Append("</tbody></table></div>\n");
        return this;
    }

    /// <summary>Writes the file.</summary>
    public void Write(string path) => File.WriteAllText(path, $"""
        <!DOCTYPE html>
        <html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
        <title>{WebUtility.HtmlEncode(title)}</title><style>
        {Style}
        </style></head><body><main>
        <h1>{WebUtility.HtmlEncode(title)}</h1>
        {_body}</main></body></html>

        """);

    private void Cell(string cell)
    {
        string[] parts = cell.Split('\t');
        bool strong = parts[0].StartsWith('*');
        string text = WebUtility.HtmlEncode(strong ? parts[0][1..] : parts[0]);
        _body.Append("<td>").Append(strong ? $"<b>{text}</b>" : text);
        if (parts.Length > 1)
        {
            _body.Append(" <span class=\"low\">").Append(WebUtility.HtmlEncode(parts[1])).Append("</span>");
        }

        _body.Append("</td>");
    }
}
