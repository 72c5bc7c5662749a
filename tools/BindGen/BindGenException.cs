namespace Twintail.BindGen;

/// <summary>A header that cannot be translated, a wrong option, or a missing compiler.</summary>
internal sealed class BindGenException(string message) : Exception(message);
