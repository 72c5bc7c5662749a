namespace Twintail.Data.Ingest;

/// <summary>A list that grows by pages, so that growing never holds the data twice.</summary>
internal sealed class PagedList<T>
    where T : struct
{
    private const int Shift = 16;
    private const int PageSize = 1 << Shift;
    private readonly List<T[]> _pages = [];

    public long Count { get; private set; }

    public T this[long index] => _pages[(int)(index >> Shift)][index & (PageSize - 1)];

    public void Add(T value)
    {
        int place = (int)(Count & (PageSize - 1));
        if (place == 0)
        {
            _pages.Add(new T[PageSize]);
        }

        _pages[^1][place] = value;
        Count++;
    }
}
