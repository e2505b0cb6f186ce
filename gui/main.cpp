// The window as a program of its own, so that the command line needs neither OpenGL nor GLFW.
// `tplan gui` checks the flags and starts it with one document.
#include <fmt/format.h>

#include <cstdio>
#include <exception>

#include "app/gui_launch.h"
#include "core/files.h"
#include "gui/panels.h"
#include "gui/png.h"
#include "gui/reduce.h"
#include "gui/screenshot.h"
#include "gui/settings.h"
#include "gui/window.h"

namespace tplan::gui {
namespace {

void open(App& app, const GuiLaunch& launch) {
    const auto now = [&](ActionKind kind, const std::string& text, std::int64_t number = 0) {
        apply(app.work, {kind, text, number});
        if (!app.work.error.empty()) throw Error("gui", app.work.error);
    };
    if (!launch.hardware.empty() && !launch.what.empty()) {
        now(ActionKind::open, launch.what);
        now(ActionKind::set_hardware, launch.hardware);
        now(ActionKind::best_tp, "");
    } else if (!launch.what.empty()) {
        now(ActionKind::open, launch.what);
    }
    for (const auto& action : launch.actions) now(action.kind, action.text, action.number);
    app.work.undo.clear();
}

void screenshot(App& app, const GuiLaunch& launch) {
    app.view.still = true;
    const bool real = launch.renderer == "window";
    constexpr std::size_t kColours = 256;  // what a palette of a PNG holds
    const auto picture =
        real ? window_screenshot(app, launch.width, launch.height, launch.frames)
             : with_colours(software_screenshot(app, launch.width, launch.height, launch.frames),
                            kColours);
    write_file(launch.screenshot, png_bytes(picture));
    if (!launch.json) return fmt::print("written: {}\n", launch.screenshot);
    fmt::print("{}", json_text(GuiEnded{
                         .screenshot = {launch.screenshot},
                         .width = picture.width,
                         .height = picture.height,
                     }));
}

int run(const GuiLaunch& launch) {
    App app;
    app.work = make_workspace();
    std::string complaint;
    Settings settings;
    const bool picture = !launch.screenshot.empty(), measured = launch.measure_s > 0;
    if (!picture && !measured) settings = load_settings(settings_path(), complaint);
    app.view.theme = launch.theme.value_or(settings.theme);
    app.view.scale = static_cast<float>(launch.scale.value_or(settings.scale));
    app.view.details = settings.details;
    app.view.recent = settings.recent;
    app.view.built_in_font = launch.built_in_font;
    open(app, launch);
    if (!launch.view.empty()) show(app.view, launch.view);
    app.view.selected = launch.select;
    if (picture) {
        screenshot(app, launch);
        return 0;
    }
    if (launch.measure_s > 0) {
        const auto speed = measure_window(app, launch.width, launch.height,
                                          std::max(launch.frames, 1), launch.measure_s);
        fmt::print("{}\n", json_text(speed));
        return 0;
    }
    if (!complaint.empty()) app.work.error = complaint;
    const auto size = run_window(app, launch.width > 0 ? launch.width : settings.width,
                                 launch.height > 0 ? launch.height : settings.height);
    settings.width = size.width;
    settings.height = size.height;
    settings.theme = app.view.theme;
    settings.scale = static_cast<double>(app.view.scale);
    settings.details = app.view.details;
    settings.recent = app.view.recent;
    save_settings(settings_path(), settings);
    if (launch.json)
        fmt::print("{}", json_text(GuiEnded{
                             .screenshot = {}, .width = size.width, .height = size.height}));
    return 0;
}

}  // namespace
}  // namespace tplan::gui

int main(int argc, char** argv) {
    try {
        const auto document = tplan::parse_json(argc > 1 ? argv[1] : "{}", "tplan-gui");
        return tplan::gui::run(tplan::from_json<tplan::GuiLaunch>(document, "tplan-gui"));
    } catch (const std::exception& error) {
        fmt::print(stderr, "tplan: {}\n", error.what());
        return 2;
    }
}
