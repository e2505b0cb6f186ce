// Files that change on disk, and files that take their time.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "app/pending.h"
#include "core/files.h"
#include "tests/gui/tiny.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_configs.h"

using namespace tplan;
using namespace tplan::test;

namespace {

/// Writes a file as a later one than it was, whatever the clock's resolution.
void write_later(const std::string& path, const std::string& text) {
    const auto before = std::filesystem::last_write_time(path);
    std::ofstream(path) << text;
    std::filesystem::last_write_time(path, before + std::chrono::seconds(5));
}

std::string config_text(std::int64_t layers) {
    auto config = tiny_config("qwen3");
    config["num_hidden_layers"] = layers;
    return json_text(config);
}

/// A pipe in the place of a file: who reads it waits until it is written. Lets a reader go that is
/// still waiting when the test ends.
struct Pipe {
    explicit Pipe(std::string where) : path(std::move(where)) {
        REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
    }
    Pipe(const Pipe&) = delete;
    Pipe& operator=(const Pipe&) = delete;
    ~Pipe() { ::close(::open(path.c_str(), O_RDWR | O_NONBLOCK)); }
    std::string path;
};

void open(Driver& driver, const std::string& path) {
    driver.app.actions.push_back({ActionKind::open, path});
    driver.frames(2);
    INFO(driver.work().error);
    REQUIRE(driver.work().error.empty());
    REQUIRE(driver.work().study);
}

}  // namespace

TEST_CASE("explorer: a config.json that changes on disk is offered, and undo brings the old back") {
    TempDir folder;
    const auto path = folder.file("config.json", config_text(2));
    Driver driver;
    open(driver, path);
    CHECK(driver.app.view.recent == std::vector<std::string>{path});
    const auto layers = [&] { return driver.study().config->layers; };
    REQUIRE(layers() == 2);
    CHECK_FALSE(driver.has("file.reload"));
    write_later(path, config_text(3));
    driver.frames(2);
    REQUIRE(driver.has("file.reload"));
    CHECK(layers() == 2);
    driver.click("file.keep");
    CHECK_FALSE(driver.has("file.reload"));
    CHECK(layers() == 2);
    write_later(path, config_text(4));
    driver.frames(2);
    REQUIRE(driver.has("file.reload"));
    driver.click("file.reload");
    CHECK(layers() == 4);
    CHECK_FALSE(driver.has("file.reload"));
    driver.key(gui::Key::z, true);
    CHECK(layers() == 2);
}

TEST_CASE("explorer: a changed file that cannot be read leaves what is open, and stays offered") {
    TempDir folder;
    const auto path = folder.file("config.json", config_text(2));
    Driver driver;
    open(driver, path);
    write_later(path, "{\"model_type\": ");
    driver.frames(2);
    driver.click("file.reload");
    CHECK_FALSE(driver.work().error.empty());
    CHECK(driver.study().config->layers == 2);
    CHECK(driver.has("file.reload"));
    std::filesystem::remove(path);
    driver.frames(2);
    CHECK_FALSE(driver.has("file.reload"));
}

TEST_CASE("explorer: a plan that the window itself saves has not changed on disk") {
    TempDir folder;
    Driver driver;
    driver.open_70b();
    const auto path = folder / "plan.json";
    apply(driver.app.work, {ActionKind::set_gpus, {}, 4});
    apply(driver.app.work, {ActionKind::set_tp, {}, 2});
    apply(driver.app.work, {ActionKind::save, path});
    open(driver, path);
    CHECK(driver.tp() == 2);
    CHECK(driver.work().inputs.hardware->devices == 4);
    apply(driver.app.work, {ActionKind::set_tp, {}, 4});
    std::filesystem::last_write_time(
        path, std::filesystem::last_write_time(path) - std::chrono::hours(1));
    apply(driver.app.work, {ActionKind::save, path});
    driver.frames(2);
    CHECK_FALSE(driver.has("file.reload"));
}

TEST_CASE("explorer: a file that takes its time is named while the window goes on drawing") {
    TempDir folder;
    Driver driver;
    driver.open_70b();
    driver.app.patience = std::chrono::milliseconds(0);
    const Pipe pipe(folder / "slow.json");
    const auto load = [&] {
        driver.app.actions.push_back({ActionKind::open, pipe.path});
        driver.frames(5);
        INFO(driver.work().error);
        REQUIRE(driver.work().pending);
        CHECK(driver.work().pending->what == "slow.json");
        CHECK(driver.has("loading"));
        CHECK(driver.study().config->layers == 80);
    };
    const auto settle = [&] {
        std::ofstream(pipe.path) << config_text(3);
        while (driver.work().pending) driver.frames(1);
        driver.frames(2);
        CHECK_FALSE(driver.has("loading"));
    };
    // Cancelled, what comes out is not taken, nor what waited for it.
    load();
    driver.app.actions.push_back({ActionKind::set_batch, {}, 3});
    driver.frames(2);
    driver.click("loading.cancel");
    REQUIRE(driver.work().pending);
    CHECK(driver.work().pending->cancelled);
    settle();
    CHECK(driver.study().config->layers == 80);
    CHECK(driver.study().request.workload.batch == 1);
    load();
    driver.app.actions.push_back({ActionKind::set_batch, {}, 2});  // waits its turn
    driver.frames(2);
    CHECK(driver.work().inputs.request.workload.batch == 1);
    settle();
    CHECK(driver.study().config->layers == 3);
    CHECK(driver.study().request.workload.batch == 2);
}
