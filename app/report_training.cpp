// The page of a training plan: its answer, its step in parts, and every number with its source.
#include "app/estimate_text.h"
#include "app/figures/svg.h"
#include "app/html_page.h"
#include "app/report_parts.h"

namespace tplan {
namespace {

std::string head(const Study& study) {
    const auto& estimate = *study.training;
    const auto& work = estimate.workload;
    const auto& training = *estimate.training;
    auto text = fmt::format("<h1>{} trained over {} x {}</h1>\n", escaped(estimate.model),
                            training.mesh.ranks(), escaped(estimate.hardware));
    text += fmt::format(
        "<p class=\"muted\">mesh {}, micro-batch {} x {} tokens, accumulate {}, recompute {}, {}, "
        "{}, over {}, layout {}, kernels {}</p>\n",
        mesh_text(training.mesh), work.batch, work.input, training.accumulate,
        name_of(training.recompute), name_of(training.optimizer), name_of(work.dtype),
        estimate.link, name_of(estimate.layout), name_of(estimate.kernels));
    return text + "<p class=\"answer\">" + escaped(study.answer) + "</p>\n";
}

std::string step_table(const Estimate& estimate) {
    const auto& parts = *estimate.parts;
    const auto ranks = static_cast<double>(estimate.training->mesh.ranks());
    const auto share = [&](Seconds part) { return format_percent(part / estimate.step); };
    const auto row = [&](const char* name, Seconds part, const char* how) {
        return std::vector<Cell>{word(name), number(format_time(part)), number(share(part)),
                                 word(how)};
    };
    return html_table(
        {"", "time", "of the step", "how"},
        {row("step", estimate.step, "all micro-batches and the update, of kernels alone"),
         {word("interval"),
          number(fmt::format("{} to {}", format_time(estimate.interval_90[0]),
                             format_time(estimate.interval_90[1]))),
          word(""), word("nine of ten cases, with what published steps take beyond their kernels")},
         row("forward", parts.forward, "with TP's collectives"),
         row("loss", parts.loss, "from the logits to their gradient, in fp32"),
         row("backward", parts.backward, "with TP's collectives and what is computed again"),
         row("optimizer", parts.update, "reads and writes its state once a step"),
         row("parameters, exposed", parts.exposed_parameters,
             "gathers and reductions over shards and replicas that nothing hides"),
         row("parameters, beside compute", parts.parameters - parts.exposed_parameters,
             "not part of the step's time"),
         {word("tokens per second"), number(fmt::format("{:.0f}", estimate.tokens_per_s)), word(""),
          word(fmt::format("of all; {:.0f} of each GPU", estimate.tokens_per_s / ranks))},
         {word("provenance"), number(std::string(name_of(estimate.provenance))), word(""),
          word(fmt::format("the weakest of its parts; {}", name_of(estimate.domain)))}});
}

std::string memory_rows(const Estimate& estimate) {
    const auto& memory = estimate.memory;
    const auto row = [](const char* name, Bytes bytes, const std::string& how) {
        return std::vector<Cell>{word(name), number(format_bytes(bytes)), word(how)};
    };
    return html_table(
        {"", "bytes", "how"},
        {row("weights at work", memory.weights,
             "of the TP rank; with shards what is gathered at a time"),
         row("gradients", memory.gradients, "fp32, over TP and shards"),
         row("optimizer", memory.optimizer, "its state and fp32 master weights, over both"),
         row("activations", memory.activations,
             "kept for the backward pass, and the widest moment"),
         row("logits", memory.logits, "in the model's dtype and twice in fp32"),
         row("communication", memory.communication, "buffers, and gradients not yet scattered"),
         row("workspace", memory.workspace, "libraries' scratch, from the profile"),
         row("total", memory.total,
             fmt::format("{} to {} in nine of ten cases; {}", format_bytes(memory.interval_90[0]),
                         format_bytes(memory.interval_90[1]),
                         memory.fits ? "fits" : "does not fit")),
         row("may use", memory.capacity, "what the plan was allowed of the GPU's memory")});
}

std::string ops_table(const Estimate& estimate) {
    std::vector<std::vector<Cell>> rows;
    for (const auto& op : sums_of_ops(estimate)) {
        rows.push_back({word(op.name), word(op.kind), number(std::to_string(op.count)),
                        number(format_time(op.time / op.count)), number(format_time(op.time)),
                        word(op.bound)});
    }
    return html_table({"op of a micro-batch", "kind", "times", "each", "together", "bound by"},
                      rows);
}

}  // namespace

std::string training_page(const Study& study) {
    const auto& estimate = *study.training;
    auto text = head(study);
    text += html_section("The step", step_table(estimate));
    if (study.validation) text += measured_section(study);
    text += html_section("Notes", html_list(estimate.notes));
    text += html_section("Memory of the fullest GPU", memory_rows(estimate));
    text += html_section("Who holds what",
                         "<p>The forward pass of a micro-batch.</p>\n" + shard_figures(study));
    text += html_section("Every op", ops_table(estimate));
    text += html_section("Parameters", parameters_table(study));
    text +=
        html_section("Where the figures of the hardware come from", sources_table(*study.hardware));
    return html_page(page_title(study), text);
}

}  // namespace tplan
