#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

/// Whole files, and where the program's own data lies.

namespace tplan {

/// The text of a file, pipe or device. Throws Error when it cannot be read, is a folder, or holds
/// more than `max_bytes`.
std::string read_file(const std::string& path, std::size_t max_bytes);

/// Writes beside `path` and renames, so that a reader sees the old or the new file, never half of
/// one. Throws Error and leaves an existing file as it was when the path is not writable or the
/// disk is full. A replaced file keeps its mode; a link keeps leading where it did; a device or
/// pipe is written to directly.
void write_file(const std::string& path, std::string_view text);

/// Throws the Error of write_file() now, for a path that long work would write to at its end, where
/// its folder is missing or may not be written. Writes nothing.
void require_writable(const std::string& path);

/// A file or folder of the program's data, e.g. "data/hardware". Looked for below $TPLAN_DATA, then
/// beside the program (an installation's share/tplan, a build tree's source), then in the source
/// tree it was built from.
std::string resource_path(std::string_view relative);

/// Names of the `.json` files in a resource folder without the ending, sorted.
std::vector<std::string> resource_names(std::string_view folder);

/// The user's cache directory for tplan ($XDG_CACHE_HOME/tplan or ~/.cache/tplan); not created.
std::string cache_directory();

}  // namespace tplan
