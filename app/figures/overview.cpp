#include "app/figures/overview.h"

#include <algorithm>

#include "app/figures/chart.h"
#include "app/figures/layer_flow.h"

namespace tplan {
namespace {

constexpr double kText = 0.8;

/// What one place of the model's sequence costs a rank.
struct Place {
    std::string id, name;
    double split = 0, replicated = 0;    // bytes on the fullest rank
    double compute = 0, collective = 0;  // seconds
};

double share_of(const FlowWeight& weight) {
    if (weight.split.kind == SplitKind::whole) return 1;
    const auto n = weight.shape[static_cast<std::size_t>(weight.split.dim)];
    return static_cast<double>(largest_extent(weight.split, n)) / static_cast<double>(n);
}

Place place_of(const Study& study, const FlowSection& section) {
    Place place;
    for (const auto& item : section.items) {
        for (const auto& weight : item.weights) {
            double bytes = bytes_of(weight.dtype) * share_of(weight);
            for (const auto extent : weight.shape) bytes *= static_cast<double>(extent);
            (weight.split.kind == SplitKind::whole ? place.replicated : place.split) += bytes;
        }
        if (section.section < 0 || item.step < 0) continue;
        const auto& cost = study
                               .steps[static_cast<std::size_t>(section.section)]
                                     [static_cast<std::size_t>(item.step)]
                               .cost;
        (is_collective(item.kind) ? place.collective : place.compute) += cost.time.value;
    }
    return place;
}

struct Part {
    double value = 0;
    Role role = Role::none;
    Pattern pattern = Pattern::none;
};

/// Stacked columns over the places, with two labelled heights.
void draw_columns(DisplayList& list, const Box& area, const std::vector<Place>& places,
                  const std::vector<std::array<Part, 2>>& parts, std::string_view suffix,
                  const std::vector<std::string>& titles) {
    double most = 0;
    for (const auto& column : parts) most = std::max(most, column[0].value + column[1].value);
    const double pitch = area.width / static_cast<double>(places.size());
    const double width = pitch > 0.5 ? pitch * 0.84 : pitch;
    for (std::size_t i = 0; i < places.size(); ++i) {
        double bottom = area.bottom();
        for (std::size_t p = 0; p < 2; ++p) {
            const auto& part = parts[i][p];
            const double height = most > 0 ? part.value / most * area.height : 0;
            if (height < 0.01) continue;
            auto& rect = add_rect(list,
                                  {area.x + pitch * static_cast<double>(i) + (pitch - width) / 2,
                                   bottom - height, width, height},
                                  {part.role}, pitch > 0.5 ? Ink{Role::outline} : Ink{});
            rect.stroke_width = 0.04;
            rect.pattern = part.pattern;
            rect.id = fmt::format("{}/{}{}", places[i].id, suffix, p);
            rect.title = titles[i];
            bottom -= height;
        }
    }
    add_line(list, {area.x, area.bottom()}, {area.right(), area.bottom()}, {Role::outline});
}

/// Every place of the model's sequence, with what is shown when it is pointed at.
struct Places {
    std::vector<Place> all;
    std::vector<std::string> titles;
};

std::string title_of(const Place& place, const FlowSection& section) {
    auto title = fmt::format("{} ({}): {} on a rank, of which {} replicated", place.name,
                             section.name, format_bytes(Bytes(place.split + place.replicated)),
                             format_bytes(Bytes(place.replicated)));
    if (place.compute > 0) {
        title += fmt::format("\ncompute {}, collectives {}", format_time(Seconds(place.compute)),
                             format_time(Seconds(place.collective)));
    }
    return title;
}

Places places_of(const Study& study) {
    const auto sections = layer_flow(study);
    std::vector<Place> of_section;
    for (const auto& section : sections) of_section.push_back(place_of(study, section));
    Places places;
    for (const auto& use : study.model->sequence) {
        const bool first = places.all.empty();
        const auto section = use.layer >= 0
                                 ? static_cast<std::size_t>(section_of_layer(sections, use.layer))
                             : first ? 0
                                     : sections.size() - 1;
        auto& place = places.all.emplace_back(of_section[section]);
        place.name = use.layer >= 0 ? fmt::format("layer {}", use.layer)
                     : first        ? "embedding"
                                    : "head";
        place.id = use.layer >= 0 ? fmt::format("layer:{}", use.layer) : "layer:" + place.name;
        places.titles.push_back(title_of(place, sections[section]));
    }
    return places;
}

/// Numbers of the layers below the columns, where they fit.
void draw_numbers(DisplayList& list, const TextMetrics& metrics, const Box& area, double y,
                  const std::vector<Place>& places) {
    const double pitch = area.width / static_cast<double>(places.size());
    const double room_for_last = text_width(metrics, "head", kText) + 0.6;
    double free = area.x;
    for (std::size_t i = 0; i < places.size(); ++i) {
        const auto& id = places[i].id;
        const auto label = id.substr(id.find(':') + 1);
        const double width = text_width(metrics, label, kText);
        double x = area.x + pitch * (static_cast<double>(i) + 0.5) - width / 2;
        if (i == 0) x = std::max(x, area.x);
        const bool last = i + 1 == places.size();
        if (last) x = std::min(x, area.right() - width);
        if (x < free || (!last && x + width > area.right() - room_for_last)) continue;
        add_text(list, metrics, {x, y}, label, kText, Anchor::start, {Role::muted});
        free = x + width + 0.8;
    }
}

}  // namespace

DisplayList overview(const Study& study, const FigureOptions& options, const TextMetrics& metrics) {
    const auto [places, titles] = places_of(study);
    DisplayList list;
    list.name = "overview";
    list.title =
        fmt::format("All layers of {} at TP {}", study.config->source, study.request.plan.tp);
    list.description =
        "A column per layer: above, the bytes of weights on a rank, hatched what is "
        "replicated; below, its time, hatched what is communication.";
    list.width = options.width;
    const double height = std::max(3.0, (options.height - 6) / 2);
    double y = 0.2;
    double most_bytes = 0, most_time = 0;
    for (const auto& place : places) {
        most_bytes = std::max(most_bytes, place.split + place.replicated);
        most_time = std::max(most_time, place.compute + place.collective);
    }
    std::vector<std::array<Part, 2>> bytes, times;
    for (const auto& place : places) {
        bytes.push_back({Part{place.split, Role::weights, Pattern::none},
                         Part{place.replicated, Role::replicated, Pattern::hatch}});
        times.push_back({Part{place.compute, Role::compute, Pattern::none},
                         Part{place.collective, Role::collective, Pattern::hatch}});
    }
    const Box area{0.4, 0, options.width - 0.8, height};
    const auto caption = [&](const std::string& text) {
        add_text(list, metrics, {0.4, y}, fitted(metrics, text, kText, options.width - 0.8), kText,
                 Anchor::start, {Role::muted});
        y += 1.3;
    };
    caption(fmt::format("weights on a rank, up to {} a layer; hatched: replicated",
                        format_bytes(Bytes(most_bytes))));
    draw_columns(list, {area.x, y, area.width, height}, places, bytes, "bytes", titles);
    y += height + 0.5;
    if (most_time > 0) {
        caption(fmt::format("time, up to {} a layer; hatched: collectives",
                            format_time(Seconds(most_time))));
        draw_columns(list, {area.x, y, area.width, height}, places, times, "time", titles);
        y += height + 0.3;
    }
    draw_numbers(list, metrics, area, y, places);
    fit_to_shapes(list, 0.3);
    return list;
}

}  // namespace tplan
