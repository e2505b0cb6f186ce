#include "app/gui_launch.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "app/pane_tabs.h"
#include "core/files.h"

namespace tplan {
namespace {

void read_size(const std::string& text, GuiLaunch& launch) {
    constexpr int kLeast = 320, kMost = 16384;
    int width = 0, height = 0;
    char rest = 0;
    const bool read = std::sscanf(text.c_str(), "%dx%d%c", &width, &height, &rest) == 2;
    if (!read || width < kLeast || height < kLeast || width > kMost || height > kMost)
        throw Error("--size", "\"" + text + "\" is not a size",
                    "give WIDTHxHEIGHT, such as 1600x1000");
    launch.width = width;
    launch.height = height;
}

}  // namespace

GuiLaunch make_launch(const GuiRequest& request) {
    auto launch = request.launch;
    if (!request.theme.empty()) launch.theme = parse_enum<Theme>(request.theme, "--theme");
    if (request.scale != 0) {
        if (!(request.scale >= kLeastScale && request.scale <= kMostScale))
            throw Error("--scale", fmt::format("{} is out of range", request.scale),
                        fmt::format("give {} to {}", kLeastScale, kMostScale));
        launch.scale = request.scale;
    }
    const bool picture = !launch.screenshot.empty();
    if (!request.size.empty() || picture)
        read_size(request.size.empty() ? "1600x1000" : request.size, launch);
    if (launch.renderer != "software" && launch.renderer != "window")
        throw Error("--renderer", "\"" + launch.renderer + "\" is not one of software, window");
    if (!launch.view.empty()) pane_tab_named(launch.view);
    if (request.tp > 0) launch.actions.push_back({ActionKind::set_tp, {}, request.tp});
    if (!request.replay.empty()) {
        const auto more = from_json<std::vector<Action>>(load_json(request.replay), request.replay);
        launch.actions.insert(launch.actions.end(), more.begin(), more.end());
    }
    return launch;
}

void become_window(const GuiLaunch& launch) {
    const auto program = sibling_program("tplan-gui");
    const auto document = json_text(launch);
    ::execlp(program.c_str(), program.c_str(), document.c_str(), nullptr);
    throw Error("tplan gui", fmt::format("{} cannot be started: {}", program, std::strerror(errno)),
                "this build has no window; install libimgui-dev and libglfw3-dev and build again, "
                "or use `tplan report PLAN -o FILE.html`");
}

}  // namespace tplan
