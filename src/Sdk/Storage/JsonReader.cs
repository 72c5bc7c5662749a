using System.Globalization;
using System.Text;

namespace Twintail.Storage;

/// <summary>Reads one JSON document (RFC 8259). Numbers without point or exponent become long, others double.</summary>
internal sealed class JsonReader
{
    private const int MaxDepth = 64;
    private readonly string _text;
    private readonly string _what;
    private int _at;

    public JsonReader(string text, string what)
    {
        _text = text;
        _what = what;
    }

    public object? ReadDocument()
    {
        object? value = ReadValue(0);
        SkipSpace();
        return _at == _text.Length ? value : throw Bad("the end of the text");
    }

    private object? ReadValue(int depth)
    {
        if (depth > MaxDepth)
        {
            throw Bad($"at most {MaxDepth} levels");
        }

        SkipSpace();
        switch (Peek())
        {
            case '{':
                return ReadObject(depth);
            case '[':
                return ReadList(depth);
            case '"':
                return ReadString();
            case 't':
                return ReadWord("true", true);
            case 'f':
                return ReadWord("false", false);
            case 'n':
                return ReadWord("null", null);
            default:
                return ReadNumber();
        }
    }

    private JsonObject ReadObject(int depth)
    {
        var members = new JsonObject();
        _at++;
        SkipSpace();
        while (Peek() != '}')
        {
            SkipSpace();
            string name = Peek() == '"' ? ReadString() : throw Bad("a member's name in quotes");
            Expect(':');
            if (members.Contains(name))
            {
                throw Bad($"unique names ('{name}' came before)");
            }

            members[name] = ReadValue(depth + 1);
            SkipSpace();
            if (Peek() != '}')
            {
                Expect(',');
                SkipSpace();
                if (Peek() == '}')
                {
                    throw Bad("a member after the comma");
                }
            }
        }

        _at++;
        return members;
    }

    private List<object?> ReadList(int depth)
    {
        var list = new List<object?>();
        _at++;
        SkipSpace();
        while (Peek() != ']')
        {
            list.Add(ReadValue(depth + 1));
            SkipSpace();
            if (Peek() != ']')
            {
                Expect(',');
                SkipSpace();
                if (Peek() == ']')
                {
                    throw Bad("a value after the comma");
                }
            }
        }

        _at++;
        return list;
    }

    private string ReadString()
    {
        var text = new StringBuilder();
        _at++;
        while (true)
        {
            char c = Peek();
            if (c < ' ')
            {
                throw Bad("a closing quote");
            }

            _at++;
            if (c == '"')
            {
                return text.ToString();
            }

            text.Append(c == '\\' ? ReadEscape() : c);
        }
    }

    private char ReadEscape()
    {
        char c = Peek();
        _at++;
        switch (c)
        {
            case '"' or '\\' or '/':
                return c;
            case 'b':
                return '\b';
            case 'f':
                return '\f';
            case 'n':
                return '\n';
            case 'r':
                return '\r';
            case 't':
                return '\t';
            case 'u' when _at + 4 <= _text.Length && ushort.TryParse(
                _text.Substring(_at, 4), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ushort code):
                _at += 4;
                return (char)code;
            default:
                throw Bad("an escape sequence");
        }
    }

    private object? ReadWord(string word, object? value)
    {
        if (string.CompareOrdinal(_text, _at, word, 0, word.Length) != 0)
        {
            throw Bad("a value");
        }

        _at += word.Length;
        return value;
    }

    private object ReadNumber()
    {
        int start = _at;
        bool whole = true;
        while (_at < _text.Length && (char.IsDigit(_text[_at]) || "+-.eE".IndexOf(_text[_at]) >= 0))
        {
            whole &= char.IsDigit(_text[_at]) || _text[_at] == '-';
            _at++;
        }

        string number = _text.Substring(start, _at - start);
        if (whole && long.TryParse(number, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long integer))
        {
            return integer;
        }

        if (double.TryParse(number, NumberStyles.Float, CultureInfo.InvariantCulture, out double real))
        {
            return real;
        }

        _at = start;
        throw Bad("a value");
    }

    private void SkipSpace()
    {
        while (_at < _text.Length && _text[_at] is ' ' or '\t' or '\r' or '\n')
        {
            _at++;
        }
    }

    private char Peek() => _at < _text.Length ? _text[_at] : '\0';

    private void Expect(char c)
    {
        SkipSpace();
        if (Peek() != c)
        {
            throw Bad($"'{c}'");
        }

        _at++;
    }

    private BadArgumentException Bad(string expected)
    {
        int line = 1;
        for (int i = 0; i < _at && i < _text.Length; i++)
        {
            line += _text[i] == '\n' ? 1 : 0;
        }

        string got = _at >= _text.Length ? "the end of the text" : $"'{JsonText.Shorten(_text.Substring(_at, Math.Min(12, _text.Length - _at)))}'";
        return new BadArgumentException($"{_what}, line {line}", expected, got);
    }
}
