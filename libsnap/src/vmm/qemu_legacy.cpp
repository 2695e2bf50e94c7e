// SPDX-License-Identifier: Apache-2.0
#include "vmm/qemu_legacy.h"

#include <algorithm>

#include "base/fail.h"
#include "vmm/page_ram.h"
#include "vmm/qemu_container.h"
#include "vmm/qemu_machine.h"
#include "vmm/static_ram.h"

namespace snap {
namespace {

constexpr std::size_t kCopyBytes = 1u << 20;
constexpr std::uint64_t kAllBits = ~std::uint64_t{0};
constexpr std::uint64_t kLow32Bits = 0xffffffff;

/// Bytes [begin, end) of the stream as a state.
Result<void> copy_state(StreamSource& stream, std::uint64_t begin, std::uint64_t end, std::string_view name, Writer& writer) {
  RegionInfo info;
  info.kind = RegionKind::kState;
  info.name = name;
  info.size = end - begin;
  SNAP_TRY(writer.begin_region(info));
  Bytes buffer(static_cast<std::size_t>(std::min<std::uint64_t>(end - begin, kCopyBytes)));
  while (begin < end) {
    const auto piece = std::span(buffer).first(static_cast<std::size_t>(std::min<std::uint64_t>(end - begin, buffer.size())));
    SNAP_TRY(stream.read_exact(begin, piece, "the VM state ends early"));
    SNAP_TRY(writer.write(piece));
    begin += piece.size();
  }
  return writer.end_region();
}

Result<void> describe(const StreamLayout& layout, const std::optional<Machine>& machine, Writer& writer) {
  SNAP_TRY(writer.set_metadata("qemu.container", std::to_string(layout.container)));
  SNAP_TRY(writer.set_metadata("qemu.ram.version", std::to_string(layout.ram_version)));
  const bool live = layout.form == RamForm::kLive || layout.form == RamForm::kKvmLive;
  SNAP_TRY(writer.set_metadata("qemu.ram.form", live ? "live" : "static"));
  if (!machine) return {};
  SNAP_TRY(writer.set_metadata(kMachineKey, "pc"));
  return writer.set_metadata("qemu.writer", machine->writer);
}

/// What importing the RAM leaves to be said in the recipe.
struct RamResult {
  std::uint64_t ram_end = 0;
  bool keep_original = false;
};

Result<RamResult> import_static(StreamSource& stream, const StreamLayout& layout, Writer& writer, const ImportOptions& options,
                                RecipeWriter& recipe) {
  const auto machine = recognise_machine(layout, layout.size_field, kLow32Bits);
  SNAP_TRY(describe(layout, machine, writer));
  SNAP_TRY(copy_state(stream, 0, layout.ram_begin, kHeadState, writer));
  SNAP_TRY_ASSIGN(ram, import_static_ram(stream, layout, machine, writer, options));
  SNAP_TRY(writer.set_metadata("qemu.ram.block", std::to_string(ram.params.block_bytes)));
  recipe.state(kHeadState);
  const bool keep_original = ram.reproducible.has_value() && !*ram.reproducible;
  if (!keep_original) recipe.deflate(ram.params, ram.slack);
  return RamResult{ram.ram_end, keep_original};
}

Result<RamResult> import_open_pages(StreamSource& stream, StreamLayout& layout, Writer& writer, const ImportOptions& options,
                                    RecipeWriter& recipe) {
  SNAP_TRY_ASSIGN(scan, scan_pages(stream, layout));
  SNAP_TRY(stream.settle_size(scan.ram_end));
  if (layout.container == 3) {
    SNAP_TRY_ASSIGN(cmos, find_cmos(stream, scan.ram_end));
    layout.cmos = cmos;
  }
  const auto machine = recognise_machine(layout, scan.ram_bytes, kAllBits);
  SNAP_TRY(describe(layout, machine, writer));
  SNAP_TRY(copy_state(stream, 0, layout.ram_begin, kHeadState, writer));
  SNAP_TRY(import_pages(stream, layout, scan, machine, writer));
  recipe.state(kHeadState);
  const bool keep_original = options.lossless && scan.repeats;
  if (!keep_original) recipe.append_operations(scan.recipe);
  return RamResult{scan.ram_end, keep_original};
}

}  // namespace

Result<void> import_legacy(StreamSource& stream, Writer& writer, const ImportOptions& options) {
  SNAP_TRY_ASSIGN(layout, parse_container(stream));
  RecipeWriter recipe;
  RamResult ram;
  if (layout.form == RamForm::kDeflate) {
    SNAP_TRY(stream.settle_size(layout.ram_begin));
    if (layout.container == 3) {
      SNAP_TRY_ASSIGN(cmos, find_cmos(stream, layout.ram_begin));
      layout.cmos = cmos;
      layout.ram_end = stream.size();
    }
    SNAP_TRY_ASSIGN(result, import_static(stream, layout, writer, options, recipe));
    ram = result;
  } else {
    SNAP_TRY_ASSIGN(result, import_open_pages(stream, layout, writer, options, recipe));
    ram = result;
  }
  if (ram.keep_original) {
    SNAP_TRY(copy_state(stream, layout.ram_begin, ram.ram_end, kOriginalRamState, writer));
    recipe.state(kOriginalRamState);
  }
  SNAP_TRY(copy_state(stream, ram.ram_end, stream.size(), kTailState, writer));
  recipe.state(kTailState);
  SNAP_TRY(write_state(writer, kRecipeState, recipe.finish(stream.size())));
  SNAP_TRY_ASSIGN(digest, stream.digest());
  SNAP_TRY(writer.set_metadata(kBytesKey, std::to_string(stream.size())));
  return writer.set_metadata(kDigestKey, to_hex(digest));
}

}  // namespace snap
