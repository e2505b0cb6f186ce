#pragma once
#include <string>
#include <string_view>

namespace tplan::test {

/// A fresh empty folder below the system's temporary directory, removed with its contents at the
/// end of the scope.
class TempDir {
  public:
    TempDir();
    ~TempDir();
    TempDir(const TempDir&) = delete;
    TempDir& operator=(const TempDir&) = delete;

    const std::string& path() const { return path_; }
    /// Path of an entry; nothing is created.
    std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }
    /// Creates a file with this text and returns its path.
    std::string file(std::string_view name, std::string_view text) const;
    /// Names of the entries, sorted: what is left behind in the folder.
    std::string listing() const;

  private:
    std::string path_;
};

}  // namespace tplan::test
