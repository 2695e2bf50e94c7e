// SPDX-License-Identifier: Apache-2.0
#include "ingest.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <vector>

#include "new_parent.h"
#include "signals.h"
#include "snap/restore.h"
#include "snap/working_set.h"

namespace snap::tool {
namespace {

constexpr Error kOtherContent{.code = Code::kCorrupt, .what = "the content does not give the digest recorded"};

Result<std::uint64_t> finish(Writer& writer, const Digest* expected) {
  const Result<Digest> digest = writer.finish();
  if (!digest) return digest.error();
  if (expected != nullptr && *digest != *expected) return kOtherContent;
  return writer.taken_bytes();
}

/// One that cannot be read is left behind: no content depends on it.
Result<void> copy_working_set(Input& input, Writer& writer) {
  const auto ranges = read_working_set(input.source());
  if (ranges) return writer.set_working_set(*ranges);
  if (ranges.error().code != Code::kCorrupt) return ranges.error();
  say(fmt::format("{}: the working set is left behind: {}", input.name(), describe(ranges.error())));
  return {};
}

/// `failed` is set where the snapshot cannot be read: an error of a parent is the new snapshot's parent's otherwise.
Result<std::uint64_t> copy_snapshot(Reader& reader, Writer& writer, Tally& tally, std::atomic<bool>& failed) {
  for (const auto& [key, value] : reader.metadata()) {
    if (const auto set = writer.set_metadata(key, value); !set) return set.error();
  }
  for (const RegionInfo& info : reader.regions()) tally.total += info.size;
  for (std::size_t region = 0; region < reader.regions().size(); ++region) {
    RegionSource source(reader, region, &failed);
    const auto copied = write_region(writer, reader.regions()[region], source, &tally.done, &cancel_flag());
    if (!copied) return copied.error();
  }
  return finish(writer, &reader.digest());
}

/// A snapshot from a pipe, written as it comes.
class CopyVisitor final : public StreamVisitor {
 public:
  explicit CopyVisitor(Writer& writer) : writer_(writer) {}
  Result<void> region_begin(std::size_t, const RegionInfo& info) override {
    at_ = 0;
    return note(writer_.begin_region(info));
  }
  Result<void> region_bytes(std::size_t, std::uint64_t offset, std::span<const std::byte> bytes) override {
    if (Result<void> skipped = skip_to(offset); !skipped) return skipped;
    at_ += bytes.size();
    return note(writer_.write(bytes));
  }
  Result<void> region_end(std::size_t, std::uint64_t size) override {
    if (Result<void> skipped = skip_to(size); !skipped) return skipped;
    return note(writer_.end_region());
  }
  bool writer_failed() const { return writer_failed_; }

 private:
  Result<void> skip_to(std::uint64_t offset) {
    const std::uint64_t gap = offset - at_;
    at_ = offset;
    return gap == 0 ? Result<void>() : note(writer_.skip(gap));
  }
  Result<void> note(Result<void> result) {
    writer_failed_ |= !result;
    return result;
  }

  Writer& writer_;
  bool writer_failed_ = false;
  std::uint64_t at_ = 0;
};

Result<std::uint64_t> copy_stream(Input& input, const IngestOptions& options, Writer& writer) {
  CopyVisitor visitor(writer);
  StreamParents parents(input, options.parents, options.destination);
  const Result<StreamResult> result = read_stream(input.stream(), visitor, parents.finder());
  if (!result && !visitor.writer_failed()) parents.fail_if_theirs(result.error());
  if (!result) return result.error();
  if (const auto kept = writer.set_working_set(result->working_set); !kept) return kept.error();
  for (const auto& [key, value] : result->metadata) {
    if (const auto set = writer.set_metadata(key, value); !set) return set.error();
  }
  return finish(writer, &result->digest);
}

/// The part of the image that will be read, for the progress line alone.
std::uint64_t expected_bytes(Input& input, const IngestOptions& options) {
  if (input.format() != Format::kQcow2) return input.size();
  const auto snapshots = list_qcow2_snapshots(input.source());
  if (!snapshots) return 0;
  for (const Qcow2Snapshot& each : *snapshots) {
    const bool chosen =
        options.snapshot.empty() ? each.vm_state_bytes != 0 : each.id == options.snapshot || each.name == options.snapshot;
    if (chosen) return each.vm_state_bytes;
  }
  return 0;
}

/// Of an input in which pages can come again, after they were written.
bool may_repeat(Format format) {
  return format == Format::kQcow2 || format == Format::kQemu || format == Format::kMappedRam || format == Format::kLibvirt || format == Format::kXen;
}

Result<Imported> no_corrections(Result<void> done) {
  if (!done) return done.error();
  return Imported();
}

ImportOptions import_options(const IngestOptions& options, Tally& tally) {
  return {.snapshot = options.snapshot,
          .lossless = options.lossless,
          .cancel = &cancel_flag(),
          .progress = &tally.done,
          .threads = options.threads,
          .spool_dir_fd = temporary_directory(),
          .machine = options.machine};
}

Result<Imported> import_foreign(Input& input, Writer& writer, const IngestOptions& options, Tally& tally) {
  const ImportOptions import = import_options(options, tally);
  if (input.seekable()) tally.total = expected_bytes(input, options);
  switch (input.format()) {
    case Format::kQcow2:
      return import_qcow2(input.source(), writer, import);
    case Format::kVmstate:
      return no_corrections(import_vmstate(input.source(), writer, import));
    case Format::kQemu:
    case Format::kMappedRam:
      return import_qemu(input.in_order(), writer, import);
    case Format::kElf:
      return no_corrections(input.seekable() ? import_elf(input.source(), writer, import) : import_elf_stream(input.stream(), writer, import));
    case Format::kLibvirt:
      return import_libvirt(input.in_order(), writer, import);
    case Format::kXen:
      return import_xen(input.in_order(), writer, import);
    default:
      return no_corrections(input.seekable() ? import_raw(input.source(), options.region_name, writer, import)
                                             : import_raw_stream(input.stream(), options.region_name, writer, import));
  }
}

/// The second snapshot, made of the first one and of the pages that came late.
Result<std::uint64_t> write_again(Corrections& corrections, Destination& destination, const WriterOptions& how, const IngestOptions& options,
                                  Tally& tally) {
  const auto first = destination.start_again();
  auto reader = Reader::open(*first, {.parent = how.parent});
  if (!reader) return reader.error();
  auto writer = Writer::create(destination.sink(), how);
  if (!writer) return writer.error();
  tally.done = 0;
  tally.total = 0;
  for (const RegionInfo& info : (*reader)->regions()) tally.total += info.size;
  if (const auto applied = corrections.apply(**reader, **writer, import_options(options, tally)); !applied) return applied.error();
  return finish(**writer, nullptr);
}

}  // namespace

Result<std::uint64_t> ingest(Input& input, Destination& destination, const WriterOptions& how, const IngestOptions& options, Tally& tally) {
  if (may_repeat(input.format())) destination.may_start_again();
  auto created = Writer::create(destination.sink(), how);
  if (!created) return created.error();
  if (input.format() == Format::kVmsnap && input.seekable()) {
    OpenSnapshot opened(input, options.parents);
    opened.chain().refuse_as_output(options.destination, input.name());
    std::atomic<bool> failed{false};
    if (const auto kept = copy_working_set(input, **created); !kept) return kept.error();
    const auto copied = copy_snapshot(opened.reader(), **created, tally, failed);
    if (!copied && failed && copied.error().ancestor != 0) opened.fail(copied.error());
    return copied;
  }
  Writer& writer = **created;
  if (input.format() == Format::kVmsnap) {
    input.stream().count_in(tally.done);
    return copy_stream(input, options, writer);
  }
  const auto imported = import_foreign(input, writer, options, tally);
  if (!imported) return imported.error();
  for (const auto& [key, value] : options.metadata) {
    if (const auto set = writer.set_metadata(key, value); !set) return set.error();
  }
  if (const auto states = take_states(options.states, writer); !states) return states.error();
  const auto taken = finish(writer, nullptr);
  if (!taken || *imported == nullptr) return taken;
  created->reset();  // the second writer has tables of its own
  return write_again(**imported, destination, how, options, tally);
}

Outcome store(Input& input, Output& output, NewParent* parent, const WriterOptions& how, const IngestOptions& options, Tally& tally) {
  const auto taken = ingest(input, output, how, options, tally);
  if (!taken && parent != nullptr && taken.error().ancestor != 0) parent->fail(taken.error());
  if (!taken) fail_between(taken.error(), input, output);
  // What the region of a Xen guest spans is mostly not there.
  const bool sparse = input.format() == Format::kXen;
  const std::uint64_t in = !sparse ? *taken : input.seekable() ? input.size() : input.stream().taken_bytes();
  return {.in = in, .out = output.sink().taken_bytes()};
}

Snapshot::Snapshot(Input& input, const IngestOptions& options, Tally& tally) : input_(input) {
  if (input.format() == Format::kVmsnap) {
    opened_ = std::make_unique<OpenSnapshot>(input, options.parents);
    opened_->chain().refuse_as_output(options.destination, input.name());
    return;
  }
  make_temporary(input, options, tally);
  auto opened = Reader::open(*source_);
  if (!opened) input.fail(opened.error());
  reader_ = std::move(*opened);
}

void Snapshot::fail(const Error& error) {
  if (opened_) opened_->fail(error);
  input_.fail(error);
}

void Snapshot::make_temporary(Input& input, const IngestOptions& options, Tally& tally) {
  const WriterOptions how{
      .codec = Codec::kLz4, .dedup = false, .threads = options.threads, .spool_dir_fd = temporary_directory()};
  if (const auto done = ingest(input, temporary_, how, options, tally); !done) {
    if (done.error().code == Code::kIo && !input.failed()) tool::fail("temporary file", done.error());
    input.fail(done.error());
  }
  tally.done = 0;
  source_ = std::make_unique<GuardedSource>(file_source(temporary_.fd()));
}

}  // namespace snap::tool
