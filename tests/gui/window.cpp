// The real window under a virtual display, and the program that starts it.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <map>

#include "app/gui_launch.h"
#include "core/files.h"
#include "tests/gui/png_reader.h"
#include "tests/support/catch.h"
#include "tests/support/process.h"
#include "tests/support/skip.h"
#include "tests/support/temp_dir.h"

using namespace tplan;
using namespace tplan::test;

namespace {

bool in_path(const char* program) {
    return run_process({"sh", "-c", std::string("command -v ") + program}).exit_code == 0;
}

/// Width and height from a PNG's header.
std::pair<int, int> png_size(const std::string& bytes) {
    const auto big = [&](std::size_t at) {
        int value = 0;
        for (std::size_t i = 0; i < 4; ++i)
            value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
        return value;
    };
    return {big(16), big(20)};
}

}  // namespace

TEST_CASE("gui: a screenshot needs no display and is the same twice") {
    TempDir folder;
    ProcessOptions options;
    options.environment = {{"DISPLAY", std::nullopt}, {"WAYLAND_DISPLAY", std::nullopt}};
    std::string first;
    for (const auto* name : {"a.png", "b.png"}) {
        const auto path = folder / name;
        const auto result = run_tplan({"gui", "llama-3.1-8b", "--hw", "h100-sxm", "--screenshot",
                                       path, "--size", "1200x800", "--built-in-font"},
                                      options);
        INFO(result.err);
        REQUIRE(result.exit_code == 0);
        const auto bytes = read_file(path, 10'000'000);
        CHECK(png_size(bytes) == std::pair{1200, 800});
        if (first.empty()) first = bytes;
        CHECK(bytes == first);
    }
}

TEST_CASE("gui: with --json the screenshot is one document") {
    TempDir folder;
    const auto path = folder / "a.png";
    const auto result = run_tplan({"gui", "qwen3-0.6b", "--hw", "h100-sxm", "--screenshot", path,
                                   "--size", "1024x700", "--json"});
    INFO(result.err);
    REQUIRE(result.exit_code == 0);
    const auto document = parse_json(result.out, "gui");
    CHECK(document["schema"] == "tplan.gui/1");
    CHECK(document["screenshot"] == path);
    CHECK(document["width"] == 1024);
    CHECK(document["height"] == 700);
    CHECK(read_png(read_file(path, 10'000'000)).width == 1024);
}

TEST_CASE("gui: without a display the window says what works instead") {
    ProcessOptions options;
    options.environment = {{"DISPLAY", std::nullopt}, {"WAYLAND_DISPLAY", std::nullopt}};
    const auto result = run_tplan({"gui", "llama-3.1-8b"}, options);
    CHECK(result.exit_code == 2);
    CHECK_THAT(result.err, Catch::Contains("--screenshot"));
    CHECK_THAT(result.err, Catch::Contains("report"));
}

TEST_CASE("gui: bad flags are refused before anything opens") {
    CHECK(run_tplan({"gui", "llama-3.1-8b", "--theme", "drak"}).exit_code == 2);
    CHECK(run_tplan({"gui", "llama-3.1-8b", "--size", "12"}).exit_code == 2);
    CHECK(run_tplan({"gui", "no-such-model", "--screenshot", "/dev/null"}).exit_code == 2);
}

TEST_CASE("gui: the real window draws under a virtual display") {
    if (!in_path("xvfb-run") || !in_path("Xvfb")) return skip("no xvfb-run on this machine");
    TempDir folder;
    const auto path = folder / "window.png";
    const auto result = run_process(
        {"xvfb-run", "-a", "-s", "-screen 0 1920x1200x24", TPLAN_PROGRAM, "gui", "llama-3.1-8b",
         "--hw", "h100-sxm", "--screenshot", path, "--renderer", "window", "--frames", "5"});
    INFO(result.err);
    REQUIRE(result.exit_code == 0);
    const auto bytes = read_file(path, 20'000'000);
    CHECK(png_size(bytes) == std::pair{1600, 1000});
    std::map<std::array<std::uint8_t, 3>, std::size_t> colours;
    const auto picture = read_png(bytes);
    for (std::size_t i = 0; i < picture.rgb.size(); i += 3)
        ++colours[{picture.rgb[i], picture.rgb[i + 1], picture.rgb[i + 2]}];
    CHECK(colours.size() > 50);
    const std::size_t pixels = 1600 * 1000;
    for (const auto& [colour, times] : colours) CHECK(times < pixels * 95 / 100);
}

TEST_CASE("gui: a window that nobody touches draws nothing") {
    if (!in_path("xvfb-run") || !in_path("Xvfb")) return skip("no xvfb-run on this machine");
    GuiLaunch launch;
    launch.what = "llama-3.1-70b";
    launch.hardware = "h100-sxm";
    launch.width = 1600;
    launch.height = 1000;
    launch.frames = 20;
    launch.measure_s = 5;
    const auto result = run_process({"xvfb-run", "-a", "-s", "-screen 0 1920x1200x24",
                                     std::string(TPLAN_PROGRAM) + "-gui", json_text(launch)});
    INFO(result.err);
    REQUIRE(result.exit_code == 0);
    const auto speed = parse_json(result.out, "speed");
    CHECK(speed["frame_s"].get<double>() > 0);
    CHECK(speed["idle_frames"].get<int>() < 10);
    CHECK(speed["idle_cpu_s"].get<double>() < 0.25);
}
