#pragma once
#include <algorithm>
#include <array>
#include <string>
#include <string_view>

/// What the window can show, as one table: the tabs, the commands that show them, and `--view` of
/// the command line all read it.

namespace tplan {

/// Parts of the window that show one thing at a time.
enum class Pane { centre, chart, memory, strip };
constexpr auto enum_names(Pane) {
    return std::array<std::string_view, 4>{"centre", "chart", "memory", "strip"};
}

struct PaneTab {
    std::string_view command;  // "view.shard-map"
    Pane pane;
    std::string_view label;  // on the tab
    std::string_view what;   // "Show the shard map": the title of the command
    constexpr std::string_view name() const { return command.substr(command.find('.') + 1); }
};

constexpr std::array kPaneTabs = {
    PaneTab{"view.shard-map", Pane::centre, "Shard map", "Show the shard map"},
    PaneTab{"view.overview", Pane::centre, "All layers", "Show all layers"},
    PaneTab{"view.interconnect", Pane::centre, "Links", "Show the links between GPUs"},
    PaneTab{"view.latency", Pane::chart, "Time over TP", "Show time over TP"},
    PaneTab{"view.speedup", Pane::chart, "Speedup", "Show speedup over TP"},
    PaneTab{"view.time", Pane::chart, "Where it goes", "Show where the time goes"},
    PaneTab{"view.memory", Pane::memory, "Memory", "Show memory per GPU"},
    PaneTab{"view.steps", Pane::strip, "Steps", "Show the steps"},
    PaneTab{"view.timeline", Pane::strip, "Timeline", "Show the timeline"},
    PaneTab{"view.roofline", Pane::strip, "Roofline", "Show the roofline"},
    PaneTab{"view.run", Pane::strip, "Run", "Show the run"},
    PaneTab{"view.details", Pane::strip, "Details", "Show the details"},
};

/// The first tab of a pane: what it shows at the start.
constexpr std::string_view first_tab(Pane pane) {
    return std::ranges::find(kPaneTabs, pane, &PaneTab::pane)->name();
}

/// "shard-map, overview, ..": what `--view` takes.
std::string pane_tab_names();

/// The tab of that name. Throws Error naming `--view`, with the nearest.
const PaneTab& pane_tab_named(std::string_view name);

}  // namespace tplan
