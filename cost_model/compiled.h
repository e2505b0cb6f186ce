#pragma once
namespace tplan {
struct CompiledProgram {};
}  // namespace tplan
