// SPDX-License-Identifier: Apache-2.0
// Memory whose place in the guest is known becomes an ELF core: the tables, the notes, and each region whole, from a page of the file
// on. What a region has beside its placements stands in the file, but no segment shows it. Where the guest is a Linux of x86-64, memory
// is shown at the virtual addresses that the kernel has for it, and the kernel's image a second time at those that it has for itself, as
// kdump does it: debuggers come to the page tables by that.
#include <algorithm>
#include <cstring>
#include <optional>
#include <set>

#include "base/bytes.h"
#include "base/fail.h"
#include "io/file.h"
#include "snap/import.h"
#include "snap/restore.h"
#include "vmm/direct_map.h"
#include "vmm/elf.h"
#include "vmm/guest_layout.h"
#include "vmm/kernel_image.h"
#include "vmm/metadata.h"
#include "vmm/vmcoreinfo.h"

namespace snap {
namespace {

constexpr std::uint64_t kGiB4 = std::uint64_t{1} << 32;
constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 62;
constexpr std::size_t kPrstatusBytes = 336;  // struct elf_prstatus
constexpr std::size_t kPrstatusBytesAarch64 = 392;
constexpr std::uint32_t kPrstatus = 1;
constexpr std::string_view kVmcoreinfo("VMCOREINFO\0", 11);
// A note with a page of text: kept free where none was found or looked for.
constexpr std::uint64_t kVmcoreinfoRoom = sizeof(elf::NoteHeader) + 12 + kPageBytes;

void append_note(Bytes& notes, std::string_view name, std::uint32_t type, std::span<const std::byte> description) {
  elf::NoteHeader header{};
  header.name_bytes = static_cast<std::uint32_t>(name.size());
  header.description_bytes = static_cast<std::uint32_t>(description.size());
  header.type = type;
  notes.resize(ceil_div(notes.size(), 4) * 4);
  append(notes, bytes_of(header));
  append(notes, bytes_of(name));
  notes.resize(ceil_div(notes.size(), 4) * 4);
  append(notes, description);
  notes.resize(ceil_div(notes.size(), 4) * 4);
}

std::string machine_of(const Reader& reader, const std::string& chosen) {
  if (!chosen.empty()) return chosen;
  const auto found = reader.metadata().find(std::string(kMachineKey));
  return found == reader.metadata().end() ? std::string() : found->second;
}

class ElfTables {
 public:
  ElfTables(Reader& reader, const ExportOptions& options, bool with_vmcoreinfo)
      : reader_(reader), options_(options), with_vmcoreinfo_(with_vmcoreinfo) {}

  Result<ElfLayout> layout() {
    machine_ = static_cast<std::uint16_t>(metadata_number(reader_, elf::kMachineKey).value_or(machine_of(reader_, options_.machine).starts_with("virt") ? elf::kAarch64 : elf::kX86_64));
    SNAP_TRY(collect());
    SNAP_TRY_ASSIGN(notes, make_notes());
    const std::uint64_t room = notes.size() + (has_own_notes() ? 0 : kVmcoreinfoRoom - vmcoreinfo_bytes_);
    // One more than there may be: room is kept for the kernel's image where it was not found or looked for.
    const std::size_t segments = ranges_.size() + 2;
    const bool narrow = metadata_number(reader_, elf::kClassKey) == 32u && low() &&
                        place(head_bytes<elf::Header32, elf::Segment32, elf::Section32>(segments), room) <= kGiB4;
    if (narrow) {
      layout_.size = place(head_bytes<elf::Header32, elf::Segment32, elf::Section32>(segments), room);
      kernel_.reset();  // one of 64 bits, whose addresses find no room
      virtual_base_ = 0;
      layout_.head = tables<elf::Header32, elf::Segment32, elf::Section32>(notes, elf::kClass32);
    } else {
      layout_.size = place(head_bytes<elf::Header64, elf::Segment64, elf::Section64>(segments), room);
      layout_.head = tables<elf::Header64, elf::Segment64, elf::Section64>(notes, elf::kClass64);
    }
    return std::move(layout_);
  }

 private:
  // ---- Which memory ----

  Result<void> collect() {
    SNAP_TRY_ASSIGN(ranges, physical_ranges(reader_, options_.machine));
    ranges_ = std::move(ranges);
    std::set<std::size_t> regions;
    for (const PhysicalRange& range : ranges_) regions.insert(range.region);
    std::uint64_t total = 0;  // regions are of 2^52 bytes at most, and 4096 at most
    for (const std::size_t region : regions) {
      total = std::min(total, kMostBytes) + reader_.regions()[region].size;
      layout_.parts.push_back({region, 0});
    }
    if (total > kMostBytes) return fail(Code::kLimit, "more memory than a file can hold", 0, total);
    return {};
  }

  bool low() const {
    return std::all_of(ranges_.begin(), ranges_.end(), [](const PhysicalRange& range) {
      return range.guest_address < kGiB4 && range.length <= kGiB4 - range.guest_address && range.length < kGiB4;
    });
  }

  std::uint64_t at_of(const PhysicalRange& range) const {
    const auto part = std::find_if(layout_.parts.begin(), layout_.parts.end(), [&](const ElfLayout::Part& each) { return each.region == range.region; });
    return part->at + range.offset;
  }

  // ---- Notes ----

  bool has_own_notes() const { return reader_.find(RegionKind::kState, elf::kNotesState).has_value(); }

  /// Those of the core that came in, as they were: crash cannot read a dump of QEMU's that has VMCOREINFO added.
  Result<Bytes> make_notes() {
    if (has_own_notes()) return read_state(reader_, elf::kNotesState, elf::kMaxNotesBytes);
    Bytes notes;
    append_note(notes, std::string_view("CORE\0", 5), kPrstatus, Bytes(machine_ == elf::kAarch64 ? kPrstatusBytesAarch64 : kPrstatusBytes));
    if (!with_vmcoreinfo_) return notes;
    std::vector<std::size_t> regions;
    for (const ElfLayout::Part& part : layout_.parts) regions.push_back(part.region);
    SNAP_TRY_ASSIGN(info, find_vmcoreinfo(reader_, regions, options_.threads, options_.cancel));
    const std::size_t before = notes.size();
    if (!info.empty()) append_note(notes, kVmcoreinfo, 0, bytes_of(std::string_view(info)));
    if (machine_ == elf::kX86_64) kernel_ = kernel_image(info, ranges_);
    if (kernel_) {
      SNAP_TRY_ASSIGN(base, direct_map(reader_, info, *kernel_, ranges_));
      virtual_base_ = base.value_or(0);
    }
    vmcoreinfo_bytes_ = notes.size() - before;
    return notes;
  }

  // ---- Tables ----

  template <typename Header, typename Segment, typename Section>
  static std::uint64_t head_bytes(std::size_t segments) {
    return sizeof(Header) + segments * sizeof(Segment) + (segments >= elf::kCountElsewhere ? sizeof(Section) : 0);
  }

  /// Where each region begins in the file; answers where the file ends.
  std::uint64_t place(std::uint64_t notes_at, std::uint64_t notes_bytes) {
    std::uint64_t end = notes_at + notes_bytes;
    for (ElfLayout::Part& part : layout_.parts) {
      part.at = ceil_div(end, kPageBytes) * kPageBytes;
      end = part.at + reader_.regions()[part.region].size;
    }
    return end;
  }

  template <typename Header, typename Segment, typename Section>
  Bytes tables(std::span<const std::byte> notes, elf::Class word_size) {
    const std::size_t segments = ranges_.size() + (kernel_ ? 2 : 1);
    const bool elsewhere = segments >= elf::kCountElsewhere;
    const std::uint64_t notes_at = head_bytes<Header, Segment, Section>(segments);
    Header header{};
    std::memcpy(header.ident.magic, "\x7f" "ELF", 4);
    header.ident.word_size = word_size;
    header.ident.data = elf::kLittleEndian;
    header.ident.version = 1;
    header.type = elf::kCore;
    header.machine = machine_;
    header.version = 1;
    header.flags = metadata_number(reader_, elf::kFlagsKey).value_or(0);
    header.header_bytes = sizeof(Header);
    header.segment_bytes = sizeof(Segment);
    header.segments_at = sizeof(Header) + (elsewhere ? sizeof(Section) : 0);
    header.segment_count = elsewhere ? elf::kCountElsewhere : static_cast<std::uint16_t>(segments);
    if (elsewhere) {
      header.sections_at = sizeof(Header);
      header.section_bytes = sizeof(Section);
      header.section_count = 1;
    }
    Bytes bytes(sizeof header);
    std::memcpy(bytes.data(), &header, sizeof header);
    if (elsewhere) {
      Section first{};
      first.info = static_cast<std::uint32_t>(segments);
      append(bytes, bytes_of(first));
    }
    Segment note = segment<Segment>(elf::kNote, notes_at, {0, notes.size()}, 0);
    note.align = 4;
    append(bytes, bytes_of(note));
    if (kernel_) append(bytes, bytes_of(segment<Segment>(elf::kLoad, at_of(kernel_->memory), kernel_->memory, kernel_->virtual_address)));
    for (const PhysicalRange& range : ranges_) append(bytes, bytes_of(segment<Segment>(elf::kLoad, at_of(range), range, virtual_base_ + range.guest_address)));
    append(bytes, notes);
    return bytes;
  }

  template <typename Segment>
  static Segment segment(std::uint32_t type, std::uint64_t at, const PhysicalRange& memory, std::uint64_t virtual_address) {
    using Word = decltype(Segment::offset);
    const auto word = [](std::uint64_t value) {
      Word narrowed;
      if constexpr (sizeof(Word) == 4) {
        narrowed = static_cast<std::uint32_t>(value);
      } else {
        narrowed = value;
      }
      return narrowed;
    };
    Segment segment{};
    segment.type = type;
    segment.offset = word(at);
    segment.virtual_address = word(virtual_address);
    segment.physical_address = word(memory.guest_address);
    segment.file_bytes = word(memory.length);
    segment.memory_bytes = word(memory.length);
    segment.flags = 0;
    segment.align = 0;  // as in a core of kdump: by this crash takes it for one, and looks into VMCOREINFO for where the kernel is
    return segment;
  }

  Reader& reader_;
  const ExportOptions& options_;
  bool with_vmcoreinfo_;
  std::uint16_t machine_ = 0;
  std::uint64_t vmcoreinfo_bytes_ = 0;
  std::vector<PhysicalRange> ranges_;
  std::optional<KernelImage> kernel_;
  std::uint64_t virtual_base_ = 0;  ///< of physical memory
  ElfLayout layout_;
};

RestoreOptions restore_options(const ExportOptions& options) {
  return {.threads = options.threads, .target_is_zero = options.target_is_zero, .progress = options.progress, .cancel = options.cancel};
}

}  // namespace

Result<std::vector<PhysicalRange>> physical_ranges(const Reader& reader, const std::string& machine) {
  const auto regions = reader.regions();
  const auto main = main_memory(reader);
  if (!machine.empty()) {
    if (!knows_machine(machine)) return invalid("where a machine of this type has its memory is not known");
    if (!main) return fail(Code::kNotFound, "the snapshot has no main memory that a machine type could place");
  }
  const bool has_vga = std::any_of(regions.begin(), regions.end(), [](const RegionInfo& info) { return is_vga_memory(info.name); });
  std::vector<PhysicalRange> ranges;
  const auto add = [&](std::size_t region, const std::vector<Placement>& placements) {
    for (const Placement& each : placements) ranges.push_back({each.guest_address, each.length, region, each.offset});
  };
  for (std::size_t region = 0; region < regions.size(); ++region) {
    if (regions[region].kind != RegionKind::kMemory || regions[region].size == 0) continue;
    const bool by_type = !machine.empty() && region == *main;
    add(region, by_type ? guest_layout(machine, regions[region].size, has_vga) : regions[region].placements);
  }
  // Nothing says otherwise: memory begins at 0.
  if (ranges.empty() && main && regions[*main].size != 0) add(*main, {{0, 0, regions[*main].size}});
  if (ranges.empty()) return fail(Code::kNotFound, "the snapshot has no memory whose place in the guest is known");
  std::stable_sort(ranges.begin(), ranges.end(), [](const PhysicalRange& a, const PhysicalRange& b) { return a.guest_address < b.guest_address; });
  return ranges;
}

Result<ElfLayout> elf_layout(Reader& reader, const ExportOptions& options, bool with_vmcoreinfo) {
  return ElfTables(reader, options, with_vmcoreinfo).layout();
}

Result<void> export_elf(Reader& reader, ByteSink& sink, const ExportOptions& options) {
  SNAP_TRY_ASSIGN(core, elf_layout(reader, options, true));
  SNAP_TRY(sink.write(core.head));
  std::uint64_t at = core.head.size();
  for (const ElfLayout::Part& part : core.parts) {
    SNAP_TRY(sink.write(Bytes(static_cast<std::size_t>(part.at - at))));
    SNAP_TRY(restore_to_sink(reader, part.region, sink, restore_options(options)));
    at = part.at + reader.regions()[part.region].size;
  }
  return {};
}

Result<void> export_elf_to_file(Reader& reader, int fd, const ExportOptions& options) {
  SNAP_TRY_ASSIGN(core, elf_layout(reader, options, true));
  SNAP_TRY(write_at(fd, core.head, 0));
  for (const ElfLayout::Part& part : core.parts) SNAP_TRY(restore_to_file(reader, part.region, fd, part.at, restore_options(options)));
  return {};
}

}  // namespace snap
