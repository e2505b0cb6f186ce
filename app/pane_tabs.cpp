#include "app/pane_tabs.h"

#include <vector>

#include "core/error.h"
#include "core/text.h"

namespace tplan {
namespace {

std::vector<std::string> names() {
    std::vector<std::string> found;
    for (const auto& tab : kPaneTabs) found.emplace_back(tab.name());
    return found;
}

}  // namespace

std::string pane_tab_names() {
    return join(names(), ", ");
}

const PaneTab& pane_tab_named(std::string_view name) {
    const auto found = std::ranges::find(kPaneTabs, name, &PaneTab::name);
    if (found != kPaneTabs.end()) return *found;
    throw Error("--view", fmt::format("\"{}\" is not one of {}", name, pane_tab_names()),
                did_you_mean(name, names()));
}

}  // namespace tplan
