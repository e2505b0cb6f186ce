#include "core/files.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>

#include "core/error.h"
#include "tests/support/catch.h"
#include "tests/support/skip.h"
#include "tests/support/temp_dir.h"

using namespace tplan;
using Catch::Matchers::Contains;
using tplan::test::TempDir;
namespace fs = std::filesystem;

namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

/// The message of the Error that `call` throws; empty when it throws none.
std::string message(auto&& call) {
    try {
        call();
    } catch (const Error& error) {
        return error.what();
    }
    return {};
}

}  // namespace

TEST_CASE("files: reads what was written") {
    const TempDir folder;
    const std::string text("line\n\0binary\xff", 13);
    write_file(folder / "a", text);
    CHECK(read_file(folder / "a", kMiB) == text);
    write_file(folder / "a", "");
    CHECK(read_file(folder / "a", kMiB).empty());
    CHECK(folder.listing() == "a");
}

TEST_CASE("files: what cannot be read is named with the reason") {
    const TempDir folder;
    const auto missing = folder / "missing.json";
    CHECK(message([&] { read_file(missing, kMiB); }) ==
          missing + ": cannot be read: No such file or directory");
    CHECK_THAT(message([&] { read_file(folder.path(), kMiB); }), Contains("is a directory"));
}

TEST_CASE("files: the limit holds for files and for endless devices") {
    const TempDir folder;
    const auto path = folder.file("big", std::string(kMiB + 1, 'x'));
    CHECK(message([&] { read_file(path, kMiB); }) == path + ": is larger than 1 MiB");
    CHECK(read_file(path, kMiB + 1).size() == kMiB + 1);
    CHECK(message([&] { read_file("/dev/zero", kMiB); }) == "/dev/zero: is larger than 1 MiB");
}

TEST_CASE("files: a replaced file keeps its mode, a link keeps leading to it") {
    const TempDir folder;
    const auto path = folder.file("kept", "old");
    REQUIRE(::chmod(path.c_str(), 0600) == 0);
    fs::create_symlink(path, folder / "link");
    write_file(folder / "link", "new");
    CHECK(read_file(path, kMiB) == "new");
    CHECK(fs::is_symlink(folder / "link"));
    CHECK(fs::status(path).permissions() == fs::perms(0600));
    CHECK(folder.listing() == "kept link");
}

TEST_CASE("files: a folder that does not exist is an error and is not created") {
    const TempDir folder;
    const auto path = folder / "no/such/plan.json";
    CHECK(message([&] { write_file(path, "{}"); }) ==
          path +
              ": cannot be written: No such file or directory; choose another output path or free "
              "some space");
    CHECK(folder.listing().empty());
}

TEST_CASE("files: a folder is no place to write to") {
    const TempDir folder;
    CHECK_THAT(message([&] { write_file(folder.path(), "{}"); }), Contains("Is a directory"));
}

TEST_CASE("files: a full disk is an error") {
    CHECK_THAT(message([&] { write_file("/dev/full", "{}"); }),
               Contains("/dev/full: cannot be written: No space left on device"));
    CHECK_NOTHROW(write_file("/dev/null", "{}"));
}

TEST_CASE("files: a full disk leaves the existing file and nothing else") {
    // A one-page tmpfs needs privileges, so a limit on the file size stands in for a full disk.
    const TempDir folder;
    const auto path = folder.file("plan.json", "old");
    const std::string large(std::size_t{1} << 16, 'x');
    const auto child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        std::signal(SIGXFSZ, SIG_IGN);
        const rlimit limit{4096, 4096};
        ::setrlimit(RLIMIT_FSIZE, &limit);
        ::_exit(message([&] { write_file(path, large); }).empty() ? 1 : 0);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    CHECK(read_file(path, kMiB) == "old");
    CHECK(folder.listing() == "plan.json");
}

TEST_CASE("files: what is protected stays as it was") {
    if (::geteuid() == 0) return test::skip("root may write anywhere");
    const TempDir folder;
    const auto path = folder.file("plan.json", "old");
    SECTION("a read-only file") {
        REQUIRE(::chmod(path.c_str(), 0400) == 0);
        CHECK_THAT(message([&] { write_file(path, "new"); }), Contains("Permission denied"));
    }
    SECTION("a read-only folder") {
        REQUIRE(::chmod(folder.path().c_str(), 0500) == 0);
        CHECK_THAT(message([&] { write_file(path, "new"); }), Contains("Permission denied"));
        REQUIRE(::chmod(folder.path().c_str(), 0700) == 0);
    }
    CHECK(read_file(path, kMiB) == "old");
    CHECK(folder.listing() == "plan.json");
}

TEST_CASE("files: the program's data") {
    const TempDir folder;
    fs::create_directories(folder / "data/styles");
    fs::create_directories(folder / "models/families");
    folder.file("data/styles/b.json", "{}");
    folder.file("data/styles/a.json", "{}");
    folder.file("data/styles/notes.txt", "");
    ::setenv("TPLAN_DATA", folder.path().c_str(), 1);
    CHECK(resource_path("data/styles/a.json") == folder / "data/styles/a.json");
    CHECK(resource_names("data/styles") == std::vector<std::string>{"a", "b"});
    CHECK_THAT(message([] { resource_names("data/no-such"); }),
               Contains("data/no-such: cannot be"));
    ::unsetenv("TPLAN_DATA");
}

TEST_CASE("files: the cache directory follows the environment") {
    ::setenv("XDG_CACHE_HOME", "/x/cache", 1);
    CHECK(cache_directory() == "/x/cache/tplan");
    ::setenv("XDG_CACHE_HOME", "", 1);
    ::setenv("HOME", "/home/me", 1);
    CHECK(cache_directory() == "/home/me/.cache/tplan");
    ::unsetenv("HOME");
    CHECK_THAT(message([] { cache_directory(); }), Contains("HOME"));
}
