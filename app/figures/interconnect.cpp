#include "app/figures/interconnect.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace tplan {
namespace {

constexpr double kText = 0.8, kGpu = 1.25;  // radius of a GPU
constexpr int kMostDrawn = 16;

struct Node {
    Point at;
    int gpu = 0;
};

bool through_switch(const LinkProfile& link) {
    return link.topology != Topology::all_to_all && link.topology != Topology::pairs;
}

std::string_view hub_name(const LinkProfile& link) {
    switch (link.topology) {
        case Topology::one_switch:
            return "switch";
        case Topology::one_root:
            return "root";
        case Topology::cross_socket:
            return "sockets";
        case Topology::no_p2p:
            return "host";
        case Topology::shared_memory:
            return "memory";
        default:
            return "network";
    }
}

/// The GPUs on a circle.
std::vector<Node> place_gpus(Point centre, double radius, int count) {
    std::vector<Node> nodes;
    for (int i = 0; i < count; ++i) {
        const double angle = 2 * std::numbers::pi * i / count - std::numbers::pi / 2;
        nodes.push_back(
            {{centre.x + radius * std::cos(angle), centre.y + radius * std::sin(angle)}, i});
    }
    return nodes;
}

/// One link kind: its GPUs, edges and a caption below. Returns the height.
double draw_link(DisplayList& list, const TextMetrics& metrics, const Study& study,
                 const LinkProfile& link, Point corner, double width, double height) {
    const int devices = std::min(study.hardware->devices, kMostDrawn);
    // As large as there is room for; below it stand two lines of text.
    const double radius =
        std::max({4.2, kGpu * devices / 2.0, std::min(width, height - 4) / 2 - kGpu - 0.5});
    const Point centre{corner.x + width / 2, corner.y + radius + kGpu + 0.2};
    const auto nodes = place_gpus(centre, devices == 1 ? 0 : radius, devices);
    const Role role = link.kind == LinkKind::nvlink ? Role::nvlink
                      : link.kind == LinkKind::pcie ? Role::pcie
                                                    : Role::shared_memory;
    const auto name = std::string(name_of(link.kind));
    const bool used = study.request.cost.link == name;
    const int ranks = std::min(study.request.plan.tp, devices);
    int edges = 0;
    const auto edge = [&](Point a, Point b, bool active) {
        auto& line =
            add_line(list, a, b, {role, 0, active ? 1 : 0.3}, active && used ? 0.16 : 0.07);
        line.dashed = link.kind != LinkKind::nvlink;
        line.id = fmt::format("link:{}/{}", name, edges++);
        line.title = fmt::format("{}: {} each way per GPU, {} a hop", name,
                                 format_bandwidth(link.bandwidth), format_time(link.latency));
    };
    if (through_switch(link)) {
        for (const auto& node : nodes) edge(node.at, centre, node.gpu < ranks);
        const auto hub = std::string(hub_name(link));
        const double half = text_width(metrics, hub, kText) / 2 + 0.5;
        auto& box = add_rect(list, {centre.x - half, centre.y - 0.8, 2 * half, 1.6}, {Role::panel},
                             {Role::outline});
        box.id = fmt::format("hub:{}", name);
        box.title = fmt::format("{}, {}", name, name_of(link.topology));
        add_text(list, metrics, {centre.x, centre.y - line_height(kText) / 2}, hub, kText,
                 Anchor::middle);
    } else {
        for (const auto& a : nodes) {
            for (const auto& b : nodes) {
                const bool joined = link.topology == Topology::all_to_all ||
                                    a.gpu / link.devices == b.gpu / link.devices;
                if (a.gpu < b.gpu && joined) edge(a.at, b.at, b.gpu < ranks);
            }
        }
    }
    for (const auto& node : nodes) {
        const bool member = node.gpu < ranks;
        auto& circle = add_ellipse(list, {node.at.x - kGpu, node.at.y - kGpu, 2 * kGpu, 2 * kGpu},
                                   member ? rank_ink(node.gpu) : Ink{Role::panel}, {Role::outline});
        circle.id = fmt::format("gpu:{}/{}", name, node.gpu);
        circle.title = member ? fmt::format("GPU {}: rank {}", node.gpu, node.gpu)
                              : fmt::format("GPU {}: not part of this plan", node.gpu);
        add_text(list, metrics, {node.at.x, node.at.y - line_height(kText) / 2},
                 std::to_string(node.gpu), kText, Anchor::middle,
                 member ? Ink{Role::on_rank, node.gpu} : Ink{Role::muted});
    }
    double y = centre.y + radius + kGpu + 0.6;
    for (const auto& text :
         {fmt::format("{}{}, {}", name, used ? " (in use)" : "", name_of(link.topology)),
          fmt::format("{} each way per GPU, {} a hop", format_bandwidth(link.bandwidth),
                      format_time(link.latency))}) {
        for (const auto& line : wrapped(metrics, text, kText, width - 0.5)) {
            add_text(list, metrics, {centre.x, y}, line, kText, Anchor::middle,
                     {used ? Role::text : Role::muted});
            y += line_height(kText);
        }
    }
    return y - corner.y;
}

}  // namespace

DisplayList interconnect(const Study& study, const FigureOptions& options,
                         const TextMetrics& metrics) {
    const auto& hardware = *study.hardware;
    DisplayList list;
    list.name = "interconnect";
    list.title =
        fmt::format("How the {} devices of {} are joined", hardware.devices, hardware.name);
    list.description =
        "GPUs as circles, those of the plan in the colour of their rank; edges are "
        "links with their bandwidth each way per GPU.";
    list.width = options.width;
    double x = 0.2, y = 0.2, tallest = 0;
    const double each =
        std::max(14.0, std::min(std::max(24.0, options.height), options.width / 2 - 0.5));
    for (const auto& link : hardware.links) {
        if (x > 0.2 && x + each > options.width) {
            x = 0.2;
            y += tallest + 1;
            tallest = 0;
        }
        tallest =
            std::max(tallest, draw_link(list, metrics, study, link, {x, y}, each, options.height));
        x += each + 0.5;
    }
    y += tallest + 0.3;
    if (study.request.cost.nodes > 1 && hardware.network) {
        add_text(
            list, metrics, {0.2, y},
            fmt::format("{} such nodes, joined by {} each way per GPU, {} a hop",
                        study.request.cost.nodes, format_bandwidth(hardware.network->bandwidth),
                        format_time(hardware.network->latency)),
            kText);
        y += line_height(kText);
    }
    if (hardware.links.empty()) {
        return empty_figure("interconnect", "One device, joined to nothing.", options, metrics);
    }
    list.height = y;
    fit_to_shapes(list, 0.3);
    return list;
}

}  // namespace tplan
