#include <algorithm>
#include <cassert>

#include "core/text.h"
#include "cost_model/collective_tables.h"
#include "cost_model/estimate.h"
#include "cost_model/mesh_groups.h"
#include "cost_model/mixed_hardware.h"
#include "cost_model/rank_view.h"

namespace tplan {

namespace {

constexpr double kMiB = 1024 * 1024;

template <class T>
int push(std::vector<T>& list, T value) {
    list.push_back(std::move(value));
    return static_cast<int>(list.size()) - 1;
}

void note(CompiledProgram& out, std::string text) {
    if (std::find(out.notes.begin(), out.notes.end(), text) == out.notes.end()) {
        out.notes.push_back(std::move(text));
    }
}

/// What is folded with every step.
struct Context {
    const Program& program;
    const HardwareProfile& hardware;
    const CostOptions& options;
    std::array<Group, enum_names(MeshAxis{}).size()> groups;
    CollectiveImpl implementation;

    const Group& group(const Step& step) const {
        return groups[static_cast<std::size_t>(step.over.value_or(MeshAxis::tp))];
    }
};

/// Says where the implementation asked for does not serve a collective.
void note_substitute(CompiledProgram& out, const Context& c, OpKind op, const Group& group,
                     std::span<const CollectiveLine> lines) {
    double covered = 0;
    CollectiveImpl other = c.implementation;
    for (const auto& line : lines) {
        if (line.implementation == c.implementation) covered = std::max(covered, line.to);
        if (line.implementation != c.implementation) other = line.implementation;
    }
    if (other == c.implementation) return;
    if (covered == 0) {
        note(out, fmt::format("{} has no {} for {} ranks here: priced as {}",
                              name_of(c.implementation), name_of(op), group.ranks, name_of(other)));
    } else if (c.implementation != CollectiveImpl::trtllm) {
        // Fitted limits lie a byte beyond the last size taken.
        note(out, fmt::format("{} {} above {:.3g} MiB is priced as {}", name_of(c.implementation),
                              name_of(op), covered / kMiB, name_of(other)));
    }
}

void compile_collective(CompiledProgram& out, CompiledStep& step, const Context& c,
                        const Step& source) {
    step.collective = true;
    const auto& group = c.group(source);
    step.free = group.ranks == 1;
    if (step.free) return;
    const CollectiveUse use{.mode = c.options.mode.value, .one_byte = c.options.one_byte_payload};
    const auto lines =
        collective_lines(source.kind, c.implementation, group, source.algorithm, use);
    note_substitute(out, c, source.kind, group, lines);
    step.first_line = static_cast<int>(out.lines.size());
    step.lines = static_cast<int>(lines.size());
    out.lines.insert(out.lines.end(), lines.begin(), lines.end());
    // Points are measured with the algorithm that the implementation chose itself, which is also
    // the one a plan names.
    auto table = collective_table(c.hardware, source.kind, c.implementation, use, group, lines);
    if (!table.empty()) step.collective_table = push(out.collective_tables, std::move(table));
}

/// Are the weights unpacked to the type they are multiplied in, by a kernel that no parameters were
/// fitted to?
bool unpacks(const Step& source) {
    return source.weight_dtype == DType::int4 || source.weight_dtype == DType::int8;
}

/// A product by its tiles, where the profile has parameters for it.
void compile_gemm(CompiledProgram& out, CompiledStep& step, const Context& c, const Step& source,
                  DType compute) {
    const auto* parameters = gemm_parameters(c.hardware, compute);
    const double n = step.shape.n, k = step.shape.k;
    if (parameters == nullptr || n < 1) return;
    const auto elements = gemm_elements(compute, step.shape.weight_element, step.shape.activation);
    const auto& sides = parameters->sides;
    // As with sizes of tables, a factor of two beyond what was fitted is not far.
    const bool inside = std::min(n, k) >= sides[0] / 2 && std::max(n, k) <= sides[1] * 2;
    step.gemm = push(
        out.gemms,
        CompiledGemm{
            .kernel = gemm_kernel(gemm_device(c.hardware, compute), *parameters, n, k, elements),
            .width = gemm_widths(*parameters),
            .harness = parameters->harness_width,
            .least_rows = parameters->rows[0],
            .most_rows = parameters->rows[1],
            .fitted = inside && !borrows(*parameters, compute) && !unpacks(source),
            .transferred = parameters->transferred || unpacks(source)});
}

/// The gradient of a weight by its tiles, where the profile has parameters for it.
void compile_gradient_product(CompiledProgram& out, CompiledStep& step, const Context& c,
                              DType compute) {
    const auto* parameters = gemm_parameters(c.hardware, compute);
    if (parameters == nullptr || step.shape.n < 1 || step.shape.k < 1) return;
    const auto& s = step.shape;
    step.gradient_product = push(out.gradient_products,
                                 {.device = gemm_device(c.hardware, compute),
                                  .parameters = *parameters,
                                  .elements = gemm_elements(compute, s.activation, s.activation)});
}

void compile_product(CompiledProgram& out, CompiledStep& step, const Context& c, const Step& source,
                     DType compute) {
    if (source.pass == Pass::weight_gradient) {
        compile_gradient_product(out, step, c, compute);
        // Without a model of its tiles it multiplies as much as the product of the forward pass,
        // which tables may have measured.
        if (step.gradient_product >= 0) return;
    }
    step.quantises = quantises(c.hardware, source.weight_dtype, c.options.quant_dynamic);
    if (step.quantises) {
        step.quantiser = quantiser(c.hardware, step.shape.k > 0 ? step.shape.k : step.shape.hidden);
    }
    if (step.shape.kind == OpKind::moe_experts) {
        if (c.hardware.experts && step.shape.experts > 0) {
            step.experts = push(out.experts, make_expert_pricer(c.hardware, step.shape, compute));
        }
        auto curve = expert_curve(c.hardware, step.shape, stored_dtype(source.dtype));
        if (!curve.empty()) step.expert_curve = push(out.expert_curves, std::move(curve));
        return;
    }
    if (step.shape.k <= 0 || step.shape.n <= 0) return;
    compile_gemm(out, step, c, source, compute);
    if (unpacks(source)) return;
    const auto residency = c.options.residency;
    const auto analytic = [&](double m) {
        const double quantise = step.quantises ? step.quantiser.seconds(m) : 0;
        if (step.gemm >= 0) {
            return gemm_time(out.gemms.back().kernel, m, 1, residency).seconds + quantise;
        }
        const WorkSize work{.batch = m, .tokens = m};
        const auto& row = op_cost(step.shape.kind);
        return step.line.seconds(row.flops(step.shape, work), row.bytes(step.shape, work)) +
               quantise;
    };
    const auto dtype = usable_dtype(c.hardware, compute);
    auto curve = product_curve(c.hardware,
                               {.dtype = dtype,
                                .ranks = c.program.tp,
                                .n = step.shape.n,
                                .k = step.shape.k,
                                .residency = residency},
                               analytic);
    curve.inside = curve.inside && dtype == compute;
    if (!curve.empty()) step.product_curve = push(out.product_curves, std::move(curve));
}

void compile_attention(CompiledProgram& out, CompiledStep& step, const Context& c, DType wide) {
    if (c.hardware.attention) {
        step.attention = push(out.attention, make_attention_pricer(c.hardware, step.shape, wide));
    }
    const auto grid = [&](bool decode, DType kv_dtype) {
        auto found = attention_grid(c.hardware, {.kv_dtype = kv_dtype,
                                                 .ranks = c.program.tp,
                                                 .decode = decode,
                                                 .heads = step.shape.heads,
                                                 .kv_heads = step.shape.kv_heads,
                                                 .head_dim = step.shape.head_dim,
                                                 .residency = c.options.residency});
        return found.empty() ? -1 : push(out.attention_grids, std::move(found));
    };
    if (c.hardware.tables.attention.empty() || step.shape.latent_width > 0) return;
    step.grid_kv_bytes = bytes_of(wide);
    step.prefill_grid = grid(false, wide);
    step.decode_grid = grid(true, wide);
    step.narrow_decode_grid = grid(true, DType::fp8);
}

/// Bytes per row and those of the weights come from the op's own count.
void compile_pass(CompiledProgram& out, CompiledStep& step, const Context& c) {
    if (!c.hardware.passes) return;
    const auto bytes = [&](double rows) {
        return op_cost(step.shape.kind).bytes(step.shape, {.batch = rows, .tokens = rows});
    };
    const double fixed = bytes(0), row = bytes(1) - fixed;
    const double columns = row / step.shape.activation;
    step.pass =
        push(out.passes, make_pass_pricer(c.hardware, step.shape.kind, columns, row, fixed));
}

/// Says where a device has no arithmetic of the type that was asked for.
void note_dtype(CompiledProgram& out, const Context& c, const Step& source, DType compute) {
    const auto asked = source.weight_dtype == DType::fp8 ? DType::fp8 : compute;
    if (unpacks(source)) {
        note(out, fmt::format("{} weights are unpacked and multiplied in {}: priced as that "
                              "product with their bytes, no such kernel was measured",
                              name_of(source.weight_dtype), name_of(compute)));
    }
    const auto used = usable_dtype(c.hardware, compute);
    if (used == asked) return;
    const bool halves = asked == DType::bf16 && used == DType::fp32 &&
                        usable_dtype(c.hardware, DType::fp16) == DType::fp16;
    note(out, fmt::format("{} has no {} arithmetic: products run in {}{}", c.hardware.name,
                          name_of(asked), name_of(used),
                          halves ? "; give --dtype fp16 for its matrix units" : ""));
}

CompiledStep compile_step(CompiledProgram& out, const Context& c, const Step& source) {
    const auto& row = op_cost(source.kind);
    CompiledStep step;
    step.shape = step_shape(source, c.program);
    step.kind = row.kind;
    step.free = source.kind == OpKind::slice;
    step.role = source.pass;
    step.over = source.over;
    step.backward = source.pass && *source.pass != Pass::recompute &&
                    *source.pass != Pass::parameters && !is_collective(source.kind);
    if (source.pass == Pass::gradient) step.factor = backward_factor(source.kind);
    const auto compute = compute_dtype(c.hardware, source.weight_dtype, source.dtype);
    step.line = roofline(c.hardware, row.engine,
                         row.engine == Engine::product ? compute : stored_dtype(source.dtype));
    if (is_collective(source.kind)) {
        compile_collective(out, step, c, source);
    } else if (row.engine == Engine::product) {
        note_dtype(out, c, source, compute);
        compile_product(out, step, c, source, compute);
    } else if (row.engine == Engine::attention) {
        compile_attention(out, step, c, stored_dtype(source.dtype));
    } else if (!step.free) {
        compile_pass(out, step, c);
        auto curve = elementwise_curve(c.hardware, source.kind, c.program.tp);
        if (!curve.empty()) step.time_curve = push(out.time_curves, std::move(curve));
    }
    return step;
}

}  // namespace

CollectiveImpl collectives_of(const HardwareProfile& hardware, const CostOptions& options) {
    const auto usual = hardware.backend == "cpu" ? CollectiveImpl::cpu_shm : CollectiveImpl::nccl;
    return options.collectives.value.value_or(usual);
}

namespace {

CompiledProgram compile_kind(const Program& program, const HardwareProfile& hardware,
                             const CostOptions& options) {
    const auto groups = mesh_groups(program, hardware, options);
    const Context context{.program = program,
                          .hardware = hardware,
                          .options = options,
                          .groups = groups.along,
                          .implementation = collectives_of(hardware, options)};
    assert(program.order.size() == program.order_layer.size());

    CompiledProgram out;
    out.tp = program.tp;
    out.ranks = std::min(program.ranks.end, program.tp) - program.ranks.begin;
    out.device = hardware.name;
    out.link = groups.link.empty() ? options.link : groups.link;
    out.mesh = program.mesh;
    out.notes = groups.notes;
    out.calibrated = !hardware.tables.empty();
    out.own_kernels = hardware.backend == "cpu";
    out.logarithms = !hardware.tables.gemm.empty() || !hardware.tables.attention.empty() ||
                     !hardware.tables.moe.empty();
    out.interval_compute = hardware.interval_compute;
    out.interval_attention = hardware.interval_attention;
    out.interval_collective = hardware.interval_collective;
    for (std::size_t s = 0; s < program.sections.size(); ++s) {
        const auto& source = program.sections[s];
        CompiledSection section{.first_step = static_cast<int>(out.steps.size()),
                                .steps = static_cast<int>(source.steps.size()),
                                .repeats = 0};
        for (std::size_t p = 0; p < program.order.size(); ++p) {
            if (program.order[p] != static_cast<int>(s)) continue;
            section.repeats += 1;
            section.layer = program.order_layer[p] >= 0;
        }
        if (section.layer) out.layers += section.repeats;
        for (const auto& step : source.steps) {
            out.steps.push_back(compile_step(out, context, step));
        }
        out.sections.push_back(section);
    }

    out.memory = memory_terms(program);
    out.memory.workspace = hardware.workspace.value;
    out.memory.communication = program.tp > 1 ? hardware.communication_buffers.value : 0;
    out.memory.capacity = hardware.memory.value * options.memory_fraction - options.reserve.value;
    return out;
}

}  // namespace

CompiledProgram compile(const Program& program, const HardwareProfile& hardware,
                        const CostOptions& options) {
    if (!hardware.kinds) return compile_kind(program, hardware, options);
    const int first = ranks_of_first(hardware, program.tp);
    auto out = compile_kind(rank_view(program, {.begin = 0, .end = first}),
                            kind_in_group(hardware, 0), options);
    if (first == program.tp) return out;
    auto second = compile_kind(rank_view(program, {.begin = first, .end = program.tp}),
                               kind_in_group(hardware, 1), options);
    out.logarithms = second.logarithms = out.logarithms || second.logarithms;
    for (auto& text : second.notes) note(out, std::move(text));
    out.second = std::make_shared<const CompiledProgram>(std::move(second));
    return out;
}

}  // namespace tplan
