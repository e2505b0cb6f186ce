#include "cost_model/mixed_hardware.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "core/text.h"
#include "cost_model/collectives.h"

namespace tplan {
namespace {

struct Counted {
    std::string name;
    int count = 0;
};

[[noreturn]] void refuse(const std::string& hw, const std::string& what) {
    throw Error("--hw " + shown(hw), what,
                "give two kinds with their counts, such as l40s:2+rtx-4090:2, or one profile");
}

Counted parse_kind(const std::string& hw, const std::string& text) {
    const auto colon = text.rfind(':');
    if (colon == std::string::npos || colon == 0)
        refuse(hw, fmt::format("\"{}\" does not say how many", shown(text)));
    Counted kind{.name = text.substr(0, colon)};
    const auto* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data() + colon + 1, end, kind.count);
    if (error != std::errc() || stop != end || kind.count < 1)
        refuse(hw, fmt::format("\"{}\" is no count of GPUs", shown(text.substr(colon + 1))));
    return kind;
}

/// The links that join both kinds, and their measured collectives.
/// A middling all-reduce over a link: what the slower of two is told by, as its rate alone is not
/// what a group gets of it.
double price_of(const LinkProfile& link, int ranks) {
    constexpr double kBytes = 1 << 20;
    const Group group{.ranks = ranks, .per_node = ranks, .link = link, .network = {}, .notes = {}};
    const auto lines = collective_lines(OpKind::all_reduce, CollectiveImpl::nccl, group, "");
    return line_time(*cheapest_line(lines, kBytes), kBytes);
}

void join_links(HardwareProfile& group, const HardwareProfile& first,
                const HardwareProfile& second) {
    group.links.clear();
    group.tables.collectives.clear();
    std::erase_if(group.sources,
                  [](const auto& entry) { return entry.first.starts_with("links/"); });
    for (const auto& own : first.links) {
        const auto other = std::ranges::find(second.links, own.kind, &LinkProfile::kind);
        if (own.kind == LinkKind::nvlink || other == second.links.end()) continue;
        const double here = price_of(own, group.devices), there = price_of(*other, group.devices);
        const bool swap = there > here || (there == here && second.name < first.name);
        const auto& slower = swap ? second : first;
        group.links.push_back(swap ? *other : own);
        const auto prefix = fmt::format("links/{}", name_of(own.kind));
        for (const auto& entry : slower.sources)
            if (entry.first.starts_with(prefix)) group.sources.push_back(entry);
        if (group.links.size() == 1) group.tables.collectives = slower.tables.collectives;
    }
    if (!group.links.empty()) return;
    throw Error("--hw " + group.name,
                fmt::format("no link joins {} and {}: NVLink joins GPUs of one kind, and they have "
                            "no other in common",
                            first.name, second.name),
                "choose kinds that both have a PCIe link");
}

/// Sources of figures that the group does not have go; those it has beside come from the second.
void join_sources(HardwareProfile& group, const HardwareProfile& second) {
    const auto keys = figure_keys(group);
    std::erase_if(group.sources, [&](const auto& entry) {
        return std::ranges::find(keys, entry.first) == keys.end();
    });
    for (const auto& key : keys) {
        const auto of_key = [&](const auto& entry) { return entry.first == key; };
        if (std::ranges::any_of(group.sources, of_key)) continue;
        const auto found = std::ranges::find_if(second.sources, of_key);
        if (found != second.sources.end()) group.sources.push_back(*found);
    }
}

}  // namespace

bool names_two_kinds(const std::string& hw) {
    const bool spelled = hw.find('+') != std::string::npos || hw.find(':') != std::string::npos;
    return spelled && !std::filesystem::exists(hw);
}

HardwareProfile join_kinds(const HardwareProfile& first, const HardwareProfile& second) {
    auto group = first;
    group.name = fmt::format("{}:{}+{}:{}", first.name, first.devices, second.name, second.devices);
    group.description = fmt::format("{} x {} and {} x {} in one node", first.devices, first.name,
                                    second.devices, second.name);
    group.devices = first.devices + second.devices;
    for (auto& [key, source] : group.sources) {
        if (key == "devices") source = {SourceKind::assumed, "as asked for", source.date};
    }
    if (first.backend != second.backend)
        throw Error("--hw " + group.name, "one kind is a CPU, the other a GPU",
                    "choose two kinds of GPU");
    join_links(group, first, second);
    group.network.reset();
    group.usd_per_hour.reset();
    group.interval_collective = std::max(first.interval_collective, second.interval_collective);
    join_sources(group, second);
    group.kinds = {first, second};
    return group;
}

HardwareProfile load_group(const std::string& hw) {
    if (!names_two_kinds(hw)) return load_hardware(hw);
    const auto plus = hw.find('+');
    if (plus == std::string::npos) refuse(hw, "one kind of GPU needs no count here");
    if (hw.find('+', plus + 1) != std::string::npos) refuse(hw, "more than two kinds of GPU");
    std::vector<HardwareProfile> kinds;
    int all = 0, most = 0;
    for (const auto& text : {hw.substr(0, plus), hw.substr(plus + 1)}) {
        const auto kind = parse_kind(hw, text);
        auto& profile = kinds.emplace_back(load_hardware(kind.name));
        most = std::max(most, profile.devices);
        if (kind.count > profile.devices)
            refuse(hw, fmt::format("a node of {} has {} GPUs", profile.name, profile.devices));
        profile.devices = kind.count;
        all += kind.count;
    }
    if (kinds[0].name == kinds[1].name)
        refuse(hw,
               fmt::format("both are {}: give --hw {} --tp {}", kinds[0].name, kinds[0].name, all));
    if (all > most) refuse(hw, fmt::format("a node of these has at most {} GPUs", most));
    auto group = join_kinds(kinds[0], kinds[1]);
    group.origin = hw;
    return group;
}

void check_kinds(const HardwareProfile& group, const std::string& where) {
    if (group.kinds->size() != 2)
        throw Error(where + "/kinds", fmt::format("{} entries", group.kinds->size()),
                    "a group is of two kinds");
    auto joined = join_kinds(group.kinds->front(), group.kinds->back());
    joined.origin = group.origin;
    if (joined == group) return;
    throw Error(where + "/kinds", "they do not make up the group's figures",
                "make the plan again with `tplan plan`");
}

HardwareProfile kind_in_group(const HardwareProfile& group, std::size_t kind) {
    auto profile = group.kinds->at(kind);
    profile.devices = group.devices;
    profile.links = group.links;
    profile.network.reset();
    profile.tables.collectives = group.tables.collectives;
    profile.interval_collective = group.interval_collective;
    return profile;
}

int ranks_of_first(const HardwareProfile& group, int ranks) {
    return std::min(ranks, group.kinds->front().devices);
}

}  // namespace tplan
