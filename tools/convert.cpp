// SPDX-License-Identifier: Apache-2.0
#include "convert.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <deque>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "commands.h"
#include "convert_all.h"
#include "emit.h"
#include "ingest.h"
#include "new_parent.h"
#include "open.h"
#include "progress.h"
#include "signals.h"
#include "text.h"
#include "writer_options.h"

namespace snap::tool {
namespace {

Format format_option(const char* option, const std::string& name) {
  if (const auto format = format_from_name(name)) return *format;
  fail_usage(fmt::format("{} {}: no such format; there are vmsnap, raw, qcow2, vmstate, qemu, mapped-ram, libvirt, xen, elf", option, name));
}

bool same_file(const std::string& one, const std::string& other) {
  struct stat a {}, b {};
  if (::stat(one.c_str(), &a) == 0 && ::stat(other.c_str(), &b) == 0) return a.st_dev == b.st_dev && a.st_ino == b.st_ino && S_ISREG(a.st_mode);
  const auto place = [](const std::string& path) { return std::filesystem::weakly_canonical(std::filesystem::absolute(path)); };
  return place(one) == place(other);
}

/// A state goes into a file of its own.
void refuse_same_files(const ConvertArgs& args) {
  std::vector<std::string> others = {args.source, args.destination};
  for (const StateFile& state : parse_states(args.states)) {
    for (const std::string& other : others) {
      if (same_file(state.path, other)) fail_usage(fmt::format("--state {}={}: that file is {} as well", state.name, state.path, other));
    }
    others.push_back(state.path);
  }
}

/// Options that say something about a format other than those at hand are a mistake, not to be passed over.
void refuse_misplaced(const ConvertArgs& args, const Input& input, Format to) {
  const Format from = input.format();
  const bool vm_state = from == Format::kQcow2 || from == Format::kVmstate;
  const std::string is = fmt::format("; {} is {}", input.name(), format_name(from));
  if (!args.snapshot.empty() && from != Format::kQcow2) fail_usage("-l chooses a snapshot of a qcow2 image" + is);
  if (args.lossless && !vm_state) fail_usage("--lossless is for qcow2 and vmstate inputs" + is);
  if (!args.name.empty() && from != Format::kRaw) fail_usage("--name names the region of a raw input" + is);
  if (!args.parent.empty() && to != Format::kVmsnap) fail_usage("-B goes with -O vmsnap");
  if (!args.region.empty() && to != Format::kRaw) fail_usage("--region goes with -O raw");
  if (!args.states.empty() && to != Format::kRaw && (from != Format::kRaw || to != Format::kVmsnap)) {
    fail_usage("--state goes with a raw input and -O vmsnap, or with -O raw" + is);
  }
  if (!args.writer_options.empty() && to != Format::kVmsnap) fail_usage("-o goes with -O vmsnap");
  if (args.all && (from != Format::kQcow2 || to != Format::kVmsnap)) fail_usage("--all makes snapshots of those in a qcow2 image" + is);
  if (args.all && !args.snapshot.empty()) fail_usage("--all and -l exclude each other");
  if (to == Format::kQcow2) fail_usage("-O qcow2: vmsnap reads qcow2 images but does not write them");
  if (!args.domain_xml.empty() && to != Format::kLibvirt) fail_usage("--xml goes with -O libvirt");
  const bool is_stream = from == Format::kQemu || from == Format::kMappedRam || from == Format::kLibvirt;
  if (!args.machine.empty() && to != Format::kElf && (to != Format::kVmsnap || !is_stream)) {
    fail_usage("--machine goes with -O elf, and with QEMU's streams and -O vmsnap" + is);
  }
  if (to == Format::kRaw) refuse_same_files(args);
}

Outcome to_vmsnap(Input& input, Output& output, const ConvertArgs& args, const IngestOptions& options, Tally& tally) {
  WriterOptions how = writer_options(args.writer_options, args.threads);
  std::optional<NewParent> parent;
  if (!args.parent.empty()) {
    parent.emplace(args.parent, args.parents);
    parent->refuse_as_output(args.destination);
    parent->set_alike(how, args.writer_options, args.threads, tally);
  }
  return store(input, output, parent ? &*parent : nullptr, how, options, tally);
}

/// An error of the snapshot's parents, of the input, or of the output.
[[noreturn]] void fail_export(const Error& error, Snapshot& snapshot, Input& input, const Output& output) {
  if (error.ancestor != 0) snapshot.fail(error);
  fail_between(error, input, output);
}

Outcome to_raw(Input& input, Output& output, const ConvertArgs& args, const IngestOptions& options, Tally& tally) {
  const std::vector<StateFile> states = parse_states(args.states);
  if (input.format() == Format::kVmsnap && !input.seekable()) {
    if (!states.empty()) fail_usage("--state: a snapshot from a pipe is read once; convert from a file");
    input.stream().count_in(tally.done);
    const auto bytes = emit_raw_stream(input, args.region, args.parents, args.destination, output);
    if (!bytes) fail_between(bytes.error(), input, output);
    return {.in = input.stream().taken_bytes(), .out = *bytes};
  }
  Snapshot snapshot(input, options, tally);
  const auto regions = choose_regions(snapshot.reader(), args.region, input.name());
  std::deque<Output> state_files;
  if (const auto done = emit_states(states, snapshot.reader(), input, state_files); !done) {
    fail_export(done.error(), snapshot, input, state_files.back());
  }
  const auto bytes = emit_raw(snapshot.reader(), regions, output, args.threads, tally);
  if (!bytes) fail_export(bytes.error(), snapshot, input, output);
  output.commit();
  for (Output& each : state_files) each.commit();
  return {.in = input.size(), .out = *bytes};
}

/// Runs an export of a snapshot that is made of the input where it is none.
template <typename Export>
Outcome emit_whole(Input& input, Output& output, const ConvertArgs& args, const IngestOptions& options, Tally& tally, Export run) {
  Snapshot snapshot(input, options, tally);
  for (const RegionInfo& info : snapshot.reader().regions()) {
    if (info.kind == RegionKind::kMemory) tally.total += info.size;
  }
  const ExportOptions how{.threads = args.threads,
                          .cancel = &cancel_flag(),
                          .progress = &tally.done,
                          .machine = args.machine,
                          .target_is_zero = output.fresh()};
  const Result<void> done = run(snapshot.reader(), how);
  if (!done) fail_export(done.error(), snapshot, input, output);
  return {.in = input.size(), .out = output.written_bytes()};
}

Outcome to_qemu(Input& input, Output& output, const ConvertArgs& args, const IngestOptions& options, Tally& tally) {
  return emit_whole(input, output, args, options, tally,
                    [&](Reader& reader, const ExportOptions& how) { return export_qemu(reader, output.sink(), how); });
}

Outcome to_elf(Input& input, Output& output, const ConvertArgs& args, const IngestOptions& options, Tally& tally) {
  return emit_whole(input, output, args, options, tally, [&](Reader& reader, const ExportOptions& how) {
    return output.seekable() ? export_elf_to_file(reader, output.fd(), how) : export_elf(reader, output.sink(), how);
  });
}

Outcome to_mapped_ram(Input& input, Output& output, const ConvertArgs& args, const IngestOptions& options, Tally& tally) {
  if (!output.seekable()) fail_usage(fmt::format("-O mapped-ram: {} is no file; QEMU too reads it out of one", output.name()));
  return emit_whole(input, output, args, options, tally,
                    [&](Reader& reader, const ExportOptions& how) { return export_mapped_ram(reader, output.fd(), how); });
}

/// The whole file that --xml names; empty where there is none.
std::string domain_xml(const ConvertArgs& args) {
  if (args.domain_xml.empty()) return {};
  constexpr std::size_t kMostBytes = 16u << 20;
  Input file(args.domain_xml, Format::kRaw);
  if (file.size() > kMostBytes) fail_usage(fmt::format("--xml {}: is larger than 16 MiB", args.domain_xml));
  std::string text(static_cast<std::size_t>(file.size()), '\0');
  text.resize(must(file.source().read_at(0, std::as_writable_bytes(std::span(text))), file.name()));
  if (text.find("<domain") == std::string::npos) fail_usage(fmt::format("--xml {}: is no XML of a domain", args.domain_xml));
  return text;
}

Outcome to_libvirt(Input& input, Output& output, const ConvertArgs& args, const IngestOptions& options, Tally& tally) {
  const std::string xml = domain_xml(args);
  return emit_whole(input, output, args, options, tally, [&](Reader& reader, const ExportOptions& how) {
    if (xml.empty() && !reader.find(RegionKind::kState, kLibvirtHeaderState)) {
      throw Failure{kExitNotFound,
                    fmt::format("{}: was not made of a save image of libvirt; name a file with the domain's XML with --xml", input.name())};
    }
    return export_libvirt(reader, output.sink(), how, xml);
  });
}

/// Of an export that gives back what was imported; `what` the import was given.
Outcome original_outcome(Input& input, const VmstateExport& exported, const std::string& what) {
  const bool differs = exported.digest_known && !exported.identical;
  const std::string note = differs                 ? fmt::format("differs from the {} that was imported", what)
                           : exported.digest_known ? fmt::format("identical to the {} that was imported", what)
                                                   : fmt::format("no digest was recorded to tell whether this is the {} that was imported", what);
  return {.in = input.size(), .out = exported.bytes, .status = differs ? kExitDiffers : kExitOk, .note = note};
}

Outcome to_vmstate(Input& input, Output& output, const ConvertArgs&, const IngestOptions& options, Tally& tally) {
  Snapshot snapshot(input, options, tally);
  const auto exported = export_vmstate(snapshot.reader(), output.sink(), &cancel_flag());
  if (!exported) fail_export(exported.error(), snapshot, input, output);
  return original_outcome(input, *exported, "VM state");
}

Outcome to_xen(Input& input, Output& output, const ConvertArgs& args, const IngestOptions& options, Tally& tally) {
  Snapshot snapshot(input, options, tally);
  const ExportOptions how{.threads = args.threads, .cancel = &cancel_flag(), .progress = &tally.done};
  const auto exported = export_xen(snapshot.reader(), output.sink(), how);
  if (!exported) fail_export(exported.error(), snapshot, input, output);
  return original_outcome(input, *exported, "save file");
}

using WriteFormat = Outcome (*)(Input&, Output&, const ConvertArgs&, const IngestOptions&, Tally&);

WriteFormat writer_of(Format format) {
  switch (format) {
    case Format::kVmsnap:
      return to_vmsnap;
    case Format::kRaw:
      return to_raw;
    case Format::kVmstate:
      return to_vmstate;
    case Format::kQemu:
      return to_qemu;
    case Format::kElf:
      return to_elf;
    case Format::kMappedRam:
      return to_mapped_ram;
    case Format::kLibvirt:
      return to_libvirt;
    case Format::kXen:
      return to_xen;
    default:
      fail_usage(fmt::format("-O {}: vmsnap does not write that", format_name(format)));
  }
}

int convert(const ConvertArgs& args) {
  const Format to = format_option("-O", args.output_format);
  const auto from = args.input_format.empty() ? std::nullopt : std::optional(format_option("-f", args.input_format));
  parse_states(args.states);
  writer_options(args.writer_options, args.threads);  // a mistake there is said before a file is touched
  const Stopwatch watch;
  Input input(args.source, from);
  refuse_misplaced(args, input, to);
  if (args.all) return convert_all(input, args);
  Output output(args.destination, input);
  IngestOptions options{
      .snapshot = args.snapshot, .lossless = args.lossless, .threads = args.threads, .machine = args.machine, .parents = args.parents,
      .destination = args.destination};
  if (!args.name.empty()) options.region_name = args.name;
  if (to == Format::kVmsnap) options.states = parse_states(args.states);

  Tally tally;
  Outcome outcome;
  {
    const Progress progress(want_progress(args.progress, args.quiet), tally);
    outcome = writer_of(to)(input, output, args, options, tally);
    output.commit();
  }
  if (!args.quiet) say(fmt::format("{}: {}", output.name(), summary_line(outcome.in, outcome.out, watch.seconds())));
  const bool matters = !args.quiet || outcome.status != kExitOk;
  if (matters && !outcome.note.empty()) say(fmt::format("{}: {}", output.name(), outcome.note));
  return outcome.status;
}

}  // namespace

Command add_convert(Options& options) {
  auto args = std::make_shared<ConvertArgs>();
  options.text("-f", args->input_format, "FMT", "Format of SRC: vmsnap, raw, qcow2, vmstate, qemu, libvirt, xen, elf; detected where not given");
  options.text("-O", args->output_format, "FMT", "Format of DST: vmsnap (the default), raw, vmstate, qemu, mapped-ram, libvirt, xen, elf");
  options.text("-l", args->snapshot, "SNAPSHOT", "ID or name of the snapshot in a qcow2 image");
  options.flag("--all", args->all, "All snapshots of a qcow2 image, each a file in the directory DST; the first is the others' parent");
  options.text("-B", args->parent, "PARENT", "Write DST as a difference against this snapshot");
  options.parents(args->parents);
  options.writer_options(args->writer_options);
  options.threads(args->threads);
  options.flag("-p", args->progress, "Show progress even where stderr is not a terminal");
  options.flag("-q", args->quiet, "No progress, no summary");
  options.flag("--lossless", args->lossless, "Make sure that -O vmstate will give the VM state back byte for byte");
  options.text("--region", args->region, "NAME|all", "For a raw DST: another region than the main memory, or all of the memory");
  options.text("--machine", args->machine, "TYPE", "The guest's machine type, which says where it sees its RAM: pc, q35, microvm, virt, with or without a version");
  options.text("--xml", args->domain_xml, "FILE", "For a libvirt DST: the domain's XML; needed where SRC was not made of a save image of libvirt");
  options.text("--name", args->name, "REGION", "For a raw SRC: the name of its region; 'ram' by default");
  options.texts("--state", args->states, "NAME=FILE", "Take FILE along with a raw SRC as state NAME; with -O raw, write state NAME into FILE");
  options.operand("SRC", args->source, "The input; - is stdin");
  options.operand("DST", args->destination, "The output; - is stdout. With --all a directory");
  return [args] { return convert(*args); };
}

}  // namespace snap::tool
