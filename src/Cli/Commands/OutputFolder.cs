using Twintail.Cli.Terminal;
using Twintail.Model;
using Twintail.Training;

namespace Twintail.Cli.Commands;

/// <summary>Finds out before the work whether its result can be written.</summary>
internal static class OutputFolder
{
    /// <summary>Checks that the folder of a training is free or has what is to be resumed.</summary>
    /// <exception cref="CommandException">It is taken, or has nothing to resume.</exception>
    public static void CheckState(string folder, bool resume, bool overwrite)
    {
        if (resume && overwrite)
        {
            throw new CommandException("--resume and --overwrite exclude each other", Failures.Usage);
        }

        if (resume && !Trainer.CanResume(folder))
        {
            throw new CommandException($"{folder} has no checkpoint to resume from");
        }

        if (resume || overwrite)
        {
            return;
        }

        if (Trainer.CanResume(folder) || TwoTowerModel.Exists(folder))
        {
            throw new CommandException($"{folder} holds a training already; continue it with --resume or replace it with --overwrite");
        }

        if (Trainer.FileInTheWay(folder) is { } file)
        {
            throw new CommandException(
                $"{folder} holds {file}, maybe of a training that ended before its first checkpoint; replace it with --overwrite or name another folder");
        }
    }

    /// <summary>
    /// Tries to write to a folder. What has to be created for that is removed again, so that a run which fails before it has anything to
    /// write leaves nothing.
    /// </summary>
    /// <exception cref="CommandException">It does not work.</exception>
    public static void CheckWritable(string folder)
    {
        string[] missing = Missing(folder);
        try
        {
            Directory.CreateDirectory(folder);
            string probe = Path.Combine(folder, $".twintail-{Environment.ProcessId}");
            File.WriteAllBytes(probe, [0]);
            File.Delete(probe);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new CommandException($"{folder} cannot be written to: {error.Message.TrimEnd('.')}");
        }
        finally
        {
            RemoveEmpty(missing);
        }
    }

    /// <summary>Finds out whether a file can be written; null: none is asked for.</summary>
    /// <exception cref="CommandException">It is a folder, or its folder is missing or cannot be written to.</exception>
    public static void CheckFile(string? file)
    {
        if (file == null || File.Exists(file))
        {
            return; // one that is there may be a device, whose folder says nothing
        }

        if (Directory.Exists(file) || Path.GetDirectoryName(Path.GetFullPath(file)) is not { } folder)
        {
            throw new CommandException($"{file} cannot be written: it is a folder");
        }

        if (!Directory.Exists(folder))
        {
            throw new CommandException($"{file} cannot be written: the folder {folder} does not exist");
        }

        CheckWritable(folder);
    }

    // The folders of a path that do not exist, the innermost first.
    private static string[] Missing(string folder)
    {
        var missing = new List<string>();
        for (string? at = Path.GetFullPath(folder); at != null && !Directory.Exists(at); at = Path.GetDirectoryName(at))
        {
            missing.Add(at);
        }

        return [.. missing];
    }

    private static void RemoveEmpty(string[] folders)
    {
        try
        {
            foreach (string folder in folders.Where(Directory.Exists))
            {
                Directory.Delete(folder);
            }
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // Somebody else has put something there.
        }
    }

    /// <summary>Fails unless a folder holds a model.</summary>
    public static void RequireModel(string folder)
    {
        if (!TwoTowerModel.Exists(folder))
        {
            throw new CommandException(
                Directory.Exists(folder) ? $"{folder} holds no whole model" : $"{folder} does not exist");
        }
    }
}
