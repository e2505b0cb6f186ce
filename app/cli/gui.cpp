#include "app/gui_launch.h"

#include "app/cli/command.h"
#include "app/pane_tabs.h"

namespace tplan::cli {

void add_gui(CLI::App& program, Action& action) {
    auto* command = program.add_subcommand(
        "gui", "the explorer: move the TP degree, see the shards, run, compare");
    command->footer(
        "Example: tplan gui llama-3.1-70b --hw h100-sxm\n"
        "         tplan gui plan.json --screenshot plan.png");
    auto request = std::make_shared<GuiRequest>();
    auto& launch = request->launch;
    command->add_option("WHAT", launch.what,
                        "a plan, a validated plan or a MODEL; may be left out");
    command->add_option("--hw", launch.hardware, "hardware profile, file, or this");
    command->add_option("--tp", request->tp, "TP degree to start at (default: the best)")
        ->check(CLI::PositiveNumber);
    command->add_option("--view", launch.view, "what to show: " + pane_tab_names());
    command->add_option("--select", launch.select, "step to select, such as self_attn.o_proj");
    command->add_option("--theme", request->theme, "light, dark or high-contrast");
    command->add_option("--scale", request->scale,
                        fmt::format("of everything, {} to {}", kLeastScale, kMostScale));
    command->add_option("--size", request->size, "of the window, WIDTHxHEIGHT");
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
    command->add_option("--replay", request->replay, "a JSON list of actions to begin with");
    command->add_flag("--json", launch.json,
                      "one JSON document on stdout when the window or the screenshot is done");
    command->callback([&action, request] {
        action = [request]() -> int { become_window(make_launch(*request)); };
    });
}

}  // namespace tplan::cli
