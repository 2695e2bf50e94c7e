// SPDX-License-Identifier: Apache-2.0
// Foreign formats in and out: bytes of a VMM <-> regions, states and metadata of a snapshot.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "snap/io.h"
#include "snap/model.h"
#include "snap/reader.h"
#include "snap/result.h"
#include "snap/writer.h"

#pragma GCC visibility push(default)
namespace snap {

enum class Format {
  kVmsnap,
  kRaw,
  kQcow2,
  kVmstate,    ///< the bare VM state of QEMU 0.9 to 0.12 and kvm-userspace
  kQemu,       ///< a migration stream of QEMU 0.13 or newer; in: a mapped-ram file as well
  kMappedRam,  ///< out: a file as QEMU 9.0 and newer writes with the mapped-ram capability
  kLibvirt,    ///< a save image of libvirt: header, XML, and a migration stream, compressed or not
  kXen,        ///< a save file of xl
  kElf,        ///< an ELF core of guest-physical memory
};
const char* format_name(Format format);
std::optional<Format> format_from_name(std::string_view name);
/// By the first bytes, as many as detect_bytes() says; raw where nothing else fits. A migration stream or save image that is compressed as a
/// whole counts as what it is inside.
Format detect_format(std::span<const std::byte> first_bytes);

/// How many first bytes detect_format() needs, by the first 512.
std::size_t detect_bytes(std::span<const std::byte> first_bytes);

/// An internal snapshot of a qcow2 image.
struct Qcow2Snapshot {
  std::string id;
  std::string name;
  std::uint64_t date_sec = 0;        ///< Unix time
  std::uint32_t date_nsec = 0;
  std::uint64_t vm_clock_nsec = 0;
  std::uint64_t vm_state_bytes = 0;  ///< 0: a snapshot of the disk only
  std::uint64_t disk_bytes = 0;      ///< virtual size of the disk
};

/// The snapshots of a qcow2 image in table order.
Result<std::vector<Qcow2Snapshot>> list_qcow2_snapshots(RandomSource& image);

struct ImportOptions {
  /// qcow2: ID or name of the snapshot; IDs are tried first. Empty: the only one with VM state.
  std::string snapshot;
  /// Re-encode at once and keep the original bytes where they cannot be made again.
  bool lossless = false;
  const std::atomic<bool>* cancel = nullptr;
  std::atomic<std::uint64_t>* progress = nullptr;  ///< counts bytes of the input dealt with
  /// Threads that an import may start beside the caller's and the writer's. 0: none, all work in the caller's.
  unsigned threads = 1;
  /// A directory descriptor for spool files; -1: /var/tmp.
  int spool_dir_fd = -1;
  /// Where the guest sees its RAM depends on its machine type. Empty: the one that the stream names.
  std::string machine;
};

/// Pages that came again after their place in the snapshot had been written, as they do in a live save: the last one counts. The first
/// snapshot is then read once more, to write a second one that is right. The pages stand in an unlinked spool file.
class Corrections {
 public:
  virtual ~Corrections() = default;
  /// `first` is what the corrected import made; `second` a writer that has no region yet, made with the same options. finish() stays the
  /// caller's. `reads_failed`, where not null, is set when `first` was what could not be read.
  virtual Result<void> apply(Reader& first, Writer& second, const ImportOptions& options, std::atomic<bool>* reads_failed = nullptr) = 0;
};
/// Null: the snapshot is right as it is.
using Imported = std::unique_ptr<Corrections>;

/// The VM state of a qcow2 image's internal snapshot (containers 1 to 3 of QEMU 0.9 … 0.12 and kvm-userspace, or today's migration
/// stream) into a writer that has no region yet. finish() stays the caller's.
Result<Imported> import_qcow2(RandomSource& image, Writer& writer, const ImportOptions& options);

/// A bare VM state stream (as import_qcow2 finds it inside an image).
Result<void> import_vmstate(RandomSource& stream, Writer& writer, const ImportOptions& options);

/// Raw guest memory as one region `name`. Holes of sparse files are not read.
Result<void> import_raw(RandomSource& memory, std::string_view name, Writer& writer, const ImportOptions& options);
Result<void> import_raw_stream(ByteSource& memory, std::string_view name, Writer& writer, const ImportOptions& options);

/// A migration stream of QEMU 0.13 or newer (RAM version 4), whatever machine it is of: plain, live, with XBZRLE or compressed pages, or
/// a mapped-ram file; compressed as a whole or not. Regions are the RAM blocks; what is not RAM becomes states. See docs/import-qemu.md.
Result<Imported> import_qemu(ByteSource& stream, Writer& writer, const ImportOptions& options);

/// An ELF core of guest-physical memory (QEMU's dump-guest-memory, virsh dump --memory-only, /proc/vmcore): ELF64 or ELF32, little-endian.
/// Its segments become the region "ram", one behind the other with their addresses as placements ("ram.1" and so on where they are more
/// than 64); its notes the state "elf.notes". Holes of sparse files are not read.
Result<void> import_elf(RandomSource& core, Writer& writer, const ImportOptions& options);
/// The same in one pass: kUnsupported where the program headers stand behind the memory or segments share bytes of the file.
Result<void> import_elf_stream(ByteSource& core, Writer& writer, const ImportOptions& options);

/// A save image of libvirt: the same, its stream compressed or not. Header, XML and cookie become a state. See docs/import-libvirt.md.
Result<Imported> import_libvirt(ByteSource& image, Writer& writer, const ImportOptions& options);

/// A save file of `xl` (Xen 4.6 or newer; libxc stream 2 or 3) of a PV, PVH or HVM guest, or a recorded migration of one. Memory is the region
/// "ram", each page where its guest frame number says; all else becomes a state. See docs/import-xen.md.
Result<Imported> import_xen(ByteSource& stream, Writer& writer, const ImportOptions& options);

struct ExportOptions {
  unsigned threads = 1;  ///< worker threads; 0: all work in the caller's thread
  const std::atomic<bool>* cancel = nullptr;
  std::atomic<std::uint64_t>* progress = nullptr;  ///< counts bytes of memory dealt with
  /// ELF: the machine type that says where the guest sees its main memory. Empty: as the region's placements say, and at 0 where no
  /// region has any.
  std::string machine{};
  /// Into a file: it reads as zeros so far, so that zeros may become holes.
  bool target_is_zero = false;
};

/// Where the guest sees a stretch of a memory region.
struct PhysicalRange {
  std::uint64_t guest_address = 0;
  std::uint64_t length = 0;
  std::size_t region = 0;
  std::uint64_t offset = 0;  ///< in the region
};
/// All memory whose place in the guest is known, ascending by address: the main memory as a machine type has it, where one is given;
/// else as the regions' placements say; and where no region has any, the main memory from 0 on. kNotFound where that leaves nothing.
Result<std::vector<PhysicalRange>> physical_ranges(const Reader& reader, const std::string& machine = {});

/// Where an ELF core of a snapshot has what. Between `head` and the parts there are zeros.
struct ElfLayout {
  struct Part {
    std::size_t region = 0;  ///< the whole of it
    std::uint64_t at = 0;    ///< where in the file it begins: at a page
  };
  std::vector<std::byte> head;  ///< the first bytes of the file: all but the memory
  std::vector<Part> parts;      ///< ascending
  std::uint64_t size = 0;       ///< of the file
};
/// Of the core that export_elf() writes. Looking for VMCOREINFO takes reading all memory; without, its note and what goes by it are not
/// there, but parts and size are the same.
Result<ElfLayout> elf_layout(Reader& reader, const ExportOptions& options, bool with_vmcoreinfo);

/// An ELF core of all memory whose place in the guest is known. Its notes are those of the core that was imported; else one NT_PRSTATUS
/// of zeros and, where the guest is a Linux that has it in its memory, VMCOREINFO. Virtual addresses are then the kernel's, on x86-64: a
/// segment for each PhysicalRange in its map of all memory, and one with the kernel's image; else they are the physical ones.
Result<void> export_elf(Reader& reader, ByteSink& sink, const ExportOptions& options);
/// The same into a file, open for reading and writing, from its beginning.
Result<void> export_elf_to_file(Reader& reader, int fd, const ExportOptions& options);

/// What QEMU 9.0 and newer loads with the capability mapped-ram, of a snapshot as for export_qemu, into a file open for reading and
/// writing, from its beginning.
Result<void> export_mapped_ram(Reader& reader, int fd, const ExportOptions& options);

/// What a clone restore need not send: a region that QEMU has mapped privately from `base`, which is the snapshot itself or one of its
/// parents. Only its pages that differ from the base's are in the stream.
struct CloneOptions {
  std::size_t region = 0;
  Reader* base = nullptr;
};

/// A migration stream that QEMU loads, of a snapshot that import_qemu, import_libvirt or import_qcow2 made of one.
Result<void> export_qemu(Reader& reader, ByteSink& sink, const ExportOptions& options, const std::optional<CloneOptions>& clone = std::nullopt);

/// A save image that `virsh restore` takes, its stream not compressed. A snapshot that import_libvirt made has its domain's XML; with
/// `domain_xml` not empty that one is taken, which any other snapshot needs.
Result<void> export_libvirt(Reader& reader, ByteSink& sink, const ExportOptions& options, std::string_view domain_xml = {});

struct VmstateExport {
  bool digest_known = false;   ///< the import recorded a digest of the original stream or file
  bool identical = false;      ///< and what was written has it
  std::uint64_t bytes = 0;
};

/// The original VM state stream of a snapshot made by import_qcow2 or import_vmstate.
Result<VmstateExport> export_vmstate(Reader& reader, ByteSink& sink, const std::atomic<bool>* cancel = nullptr);

/// The save file that import_xen was given, byte for byte.
Result<VmstateExport> export_xen(Reader& reader, ByteSink& sink, const ExportOptions& options);

/// Metadata keys. The guest's machine type.
inline constexpr std::string_view kMachineKey = "machine";
/// The id of the section "ram"; only what was made of a migration stream has one.
inline constexpr std::string_view kQemuRamSectionKey = "qemu.ram.section";
/// What the guest did before it was stopped, in QEMU's words: "running", "paused", …
inline constexpr std::string_view kQemuRunstateKey = "qemu.runstate";
bool was_running(const Reader& reader);
/// The state in which import_libvirt() keeps header, XML and cookie.
inline constexpr std::string_view kLibvirtHeaderState = "libvirt.header";

/// What imports call the guest's main memory, and what is left of its RAM where the machine is not fully known.
inline constexpr std::string_view kMainRamName = "pc.ram";
inline constexpr std::string_view kSurplusRamName = "phys_ram.rest";
/// The region that is the guest's main memory: named kMainRamName, else the only or the largest memory region; none beside one
/// named kSurplusRamName.
std::optional<std::size_t> main_memory(const Reader& reader);

}  // namespace snap
#pragma GCC visibility pop
