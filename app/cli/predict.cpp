#include "app/predict.h"

#include "app/cli/command.h"
#include "core/files.h"

namespace tplan::cli {
namespace {

struct Flags {
    std::string hardware, file, output;
    bool json = false;
};

int run(const Flags& flags) {
    const auto table = load_csv(flags.file);
    const auto document = predict(load_hardware(flags.hardware), table);
    if (!flags.output.empty()) write_file(flags.output, predict_csv(document, table));
    if (flags.json) return print_json(document);
    return flags.output.empty() ? print(predict_csv(document, table)) : 0;
}

}  // namespace

void add_predict(CLI::App& program, Action& action) {
    auto* command = program.add_subcommand("predict", "price single ops, one CSV row each");
    command->footer(
        "Columns: op (gemm, attention, moe, all_reduce, all_gather, reduce_scatter, all_to_all); "
        "gemm: dtype,m,n,k[,l2]; collectives: dtype,num_gpus,message_bytes,impl[,mode]; "
        "attention: phase,kv_dtype,batch,q_len,kv_len,num_heads,num_kv_heads,head_dim[,l2]; "
        "moe: dtype,num_tokens,hidden,inter,topk,num_experts,tp. Others are carried through.\n"
        "Example: tplan predict --hw h100-sxm ops.csv -o priced.csv");
    auto flags = std::make_shared<Flags>();
    command->add_option("OPS", flags->file, "CSV with a header row")->required();
    command->add_option("--hw", flags->hardware, "hardware profile, file, or this")->required();
    command->add_option("-o,--output", flags->output, "write the CSV here instead of stdout");
    command->add_flag("--json", flags->json, "one JSON document on stdout");
    command->callback([&action, flags] { action = [flags] { return run(*flags); }; });
}

}  // namespace tplan::cli
