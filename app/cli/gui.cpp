#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "app/cli/command.h"
#include "app/figures/figure.h"
#include "app/gui_launch.h"
#include "core/files.h"

namespace tplan::cli {
namespace {

struct Flags {
    GuiLaunch launch;
    std::string theme, size, replay;
    double scale = 0;
    int tp = 0;
};

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

int run(Flags& flags) {
    auto& launch = flags.launch;
    if (!flags.theme.empty()) launch.theme = parse_enum<Theme>(flags.theme, "--theme");
    if (flags.scale != 0) {
        if (!(flags.scale >= 0.75 && flags.scale <= 3))
            throw Error("--scale", fmt::format("{} is out of range", flags.scale),
                        "give 0.75 to 3");
        launch.scale = flags.scale;
    }
    const bool picture = !launch.screenshot.empty();
    if (flags.size.empty() && picture) flags.size = "1600x1000";
    if (!flags.size.empty()) read_size(flags.size, launch);
    if (launch.renderer != "software" && launch.renderer != "window")
        throw Error("--renderer", "\"" + launch.renderer + "\" is not one of software, window");
    const bool tab = launch.view == "steps" || launch.view == "run";
    if (!launch.view.empty() && !tab) figure_named(launch.view);
    if (flags.tp > 0) launch.actions.push_back({ActionKind::set_tp, {}, flags.tp});
    if (!flags.replay.empty()) {
        const auto more =
            from_json<std::vector<tplan::Action>>(load_json(flags.replay), flags.replay);
        launch.actions.insert(launch.actions.end(), more.begin(), more.end());
    }
    const auto program = sibling_program("tplan-gui");
    const auto document = json_text(launch);
    ::execlp(program.c_str(), program.c_str(), document.c_str(), nullptr);
    throw Error("tplan gui", fmt::format("{} cannot be started: {}", program, std::strerror(errno)),
                "this build has no window; install libimgui-dev and libglfw3-dev and build again, "
                "or use `tplan report PLAN -o FILE.html`");
}

}  // namespace

void add_gui(CLI::App& program, Action& action) {
    auto* command = program.add_subcommand(
        "gui", "the explorer: move the TP degree, see the shards, run, compare");
    command->footer(
        "Example: tplan gui llama-3.1-70b --hw h100-sxm\n"
        "         tplan gui plan.json --screenshot plan.png");
    auto flags = std::make_shared<Flags>();
    auto& launch = flags->launch;
    command->add_option("WHAT", launch.what,
                        "a plan, a validated plan or a MODEL; may be left out");
    command->add_option("--hw", launch.hardware, "hardware profile, file, or this");
    command->add_option("--tp", flags->tp, "TP degree to start at (default: the best)")
        ->check(CLI::PositiveNumber);
    command->add_option("--view", launch.view,
                        "figure to show: shard-map, overview, interconnect, latency, speedup, "
                        "time, timeline, roofline, steps, run");
    command->add_option("--select", launch.select, "step to select, such as self_attn.o_proj");
    command->add_option("--theme", flags->theme, "light, dark or high-contrast");
    command->add_option("--scale", flags->scale, "of everything, 0.75 to 3");
    command->add_option("--size", flags->size, "of the window, WIDTHxHEIGHT");
    command->add_option("--screenshot", launch.screenshot,
                        "write this PNG and end; needs no display");
    command
        ->add_option("--renderer", launch.renderer,
                     "of a screenshot: software, or window (needs a display)")
        ->capture_default_str();
    command->add_option("--frames", launch.frames, "drawn before the screenshot is taken")
        ->check(CLI::Range(1, 1000))
        ->capture_default_str();
    command->add_flag("--built-in-font", launch.built_in_font,
                      "pictures that do not depend on installed fonts");
    command->add_option("--replay", flags->replay, "a JSON list of actions to begin with");
    command->callback([&action, flags] { action = [flags] { return run(*flags); }; });
}

}  // namespace tplan::cli
