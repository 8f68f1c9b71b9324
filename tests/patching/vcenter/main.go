// Copyright (c) 2026, Upkeep contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// A vCenter for tests: govmomi's simulator, with snapshots as vSphere's documentation has them, and with faults.
//
// The simulator's own snapshots end at once, are never refused and always quiesced. Here they are tasks that take their
// time; a snapshot without memory is "powered off", and wants VMware Tools to be quiesced; going back leaves a machine
// without memory off, and gives it the disk that it had. What else goes wrong, the test says over a second, plain port:
//
//	GET  /state        machines, datastores, sessions, and the methods that were called
//	POST /machine      {"path": "/DC0/vm/web1", …}: how a machine is, and what its tasks do (see machine)
//	POST /datastore    {"name": "LocalDS_0", "capacity": bytes, "free": bytes, "shown": bytes, "accessible": true}:
//	                   what is free is shown once it is refreshed
//	POST /fault        {"method": "CreateSnapshot_Task", "do": "drop|drop_after|hang|drip|deny|forget|status", "times": 1}
//	POST /snapshot     {"path": …, "name": …, "description": …, "age": seconds}: one that is there already
//	POST /reset        no faults, no calls
//
// Arguments: the port, or 0; certificate and key in PEM; user; password. The ports are printed as JSON once it answers.
package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io/ioutil"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// What a test says of a machine, all in all; what it does not say stays as it is.
type machine struct {
	Path         string  `json:"path"`
	Clear        bool    `json:"clear"` // no snapshots, no tasks
	Rename       string  `json:"rename"`
	Tools        *bool   `json:"tools"`
	Power        string  `json:"power"`
	Connection   string  `json:"connection"`
	Template     *bool   `json:"template"`
	Supported    *bool   `json:"supported"`    // whether it can have snapshots
	Independent  *bool   `json:"independent"`  // its first disk
	Consolidate  *bool   `json:"consolidate"`  // removing a snapshot leaves disks to consolidate
	Disk         string  `json:"disk"`         // what is written on it
	Milliseconds *int    `json:"milliseconds"` // that a task takes
	Create       *string `json:"create"`       // "", "hang", "held" (until told otherwise), or a fault: "NoDiskSpace", "FilesystemQuiesceFault", …
	Quiesce      *string `json:"quiesce"`      // "", "dropped", or the fault of a snapshot that is to be quiesced
	Remove       *string `json:"remove"`       // "", "hang", "ignored", or a fault
	Revert       *string `json:"revert"`       // likewise
	PowerOn      *string `json:"power_on"`     // "", "ignored", or a fault
	Question     *string `json:"question"`
	Cancelable   *bool   `json:"cancelable"`
	RefuseRename *bool   `json:"refuse_rename"`
}

type behaviour struct {
	disk, create, quiesce, remove, revert, powerOn string
	milliseconds                                   int
	consolidate, cancelable, refuseRename          bool
}

type fault struct {
	Method string `json:"method"`
	Do     string `json:"do"`
	Times  int    `json:"times"`
}

var (
	mutex      sync.Mutex // over what follows
	behaviours = map[string]*behaviour{}
	disks      = map[string]string{} // of snapshots
	faults     []*fault
	calls      []string
	logins     int
	logouts    int
	count      int // of snapshots, ever
)

func of(vm *simulator.VirtualMachine) *behaviour {
	mutex.Lock()
	defer mutex.Unlock()
	if behaviours[vm.Self.Value] == nil {
		behaviours[vm.Self.Value] = &behaviour{milliseconds: 20, cancelable: true}
	}
	return behaviours[vm.Self.Value]
}

// --- tasks ---------------------------------------------------------------------------------------

// Task is one that can be cancelled, and takes its time.
type Task struct {
	*simulator.Task
	cancelled chan struct{}
	once      sync.Once
}

// Get gives the property collector what it reads properties of.
func (t *Task) Get() mo.Reference { return t.Task }

// CancelTask ends a task that waits for that.
func (t *Task) CancelTask(*types.CancelTask) soap.HasFault {
	if !t.Info.Cancelable {
		return &methods.CancelTaskBody{Fault_: simulator.Fault("", new(types.NotSupported))}
	}
	t.once.Do(func() { close(t.cancelled) })
	return &methods.CancelTaskBody{Res: new(types.CancelTaskResponse)}
}

// begin starts a task of a machine: what it does waits for nobody who asked for it. how: "" or "hang".
func begin(vm *simulator.VirtualMachine, name string, how string, do func() (types.AnyType, types.BaseMethodFault)) types.ManagedObjectReference {
	b := of(vm)
	inner := simulator.CreateTask(vm, name, nil)
	task := &Task{Task: inner, cancelled: make(chan struct{})}
	inner.Info.Cancelable = b.cancelable
	inner.Info.DescriptionId = "VirtualMachine." + strings.TrimSuffix(name, "_Task")
	inner.Info.State = types.TaskInfoStateRunning
	simulator.Map.Put(task)
	vm.RecentTask = append(vm.RecentTask, inner.Self)
	go func() {
		if how == "hang" {
			<-task.cancelled
			end(inner, nil, new(types.RequestCanceled))
			return
		}
		select {
		case <-task.cancelled:
			end(inner, nil, new(types.RequestCanceled))
			return
		case <-time.After(time.Duration(b.milliseconds) * time.Millisecond):
		}
		for how == "held" && held(b) {
			time.Sleep(20 * time.Millisecond)
		}
		var result types.AnyType
		var failed types.BaseMethodFault
		simulator.Map.WithLock(vm, func() { result, failed = do() })
		end(inner, result, failed)
	}()
	return inner.Self
}

func held(b *behaviour) bool {
	mutex.Lock()
	defer mutex.Unlock()
	return b.create == "held"
}

func end(task *simulator.Task, result types.AnyType, failed types.BaseMethodFault) {
	simulator.Map.WithLock(task, func() {
		now := time.Now()
		task.Info.CompleteTime = &now
		task.Info.Result = result
		task.Info.State = types.TaskInfoStateSuccess
		if failed != nil {
			task.Info.State = types.TaskInfoStateError
			task.Info.Error = &types.LocalizedMethodFault{Fault: failed, LocalizedMessage: fmt.Sprintf("%T happened", failed)}
		}
	})
}

// named is the fault of that name; nil for none and for what is no fault.
func named(name string) types.BaseMethodFault {
	switch name {
	case "NoDiskSpace":
		return &types.NoDiskSpace{Datastore: "LocalDS_0"}
	case "ApplicationQuiesceFault":
		return new(types.ApplicationQuiesceFault)
	case "FilesystemQuiesceFault":
		return new(types.FilesystemQuiesceFault)
	case "TaskInProgress":
		return &types.TaskInProgress{Task: types.ManagedObjectReference{Type: "Task", Value: "task-1"}}
	case "GenericVmConfigFault":
		return &types.GenericVmConfigFault{Reason: "something else"}
	case "InsufficientResourcesFault":
		return new(types.InsufficientResourcesFault)
	}
	return nil
}

// --- machines and their snapshots ----------------------------------------------------------------

// VM is a machine whose snapshots are like vSphere's.
type VM struct{ simulator.VirtualMachine }

// Snapshot is one of its snapshots.
type Snapshot struct {
	*simulator.VirtualMachineSnapshot
	vm     *VM
	memory bool
}

// Get gives the property collector what it reads properties of.
func (s *Snapshot) Get() mo.Reference { return s.VirtualMachineSnapshot }

// CreateSnapshotTask takes one.
func (vm *VM) CreateSnapshotTask(req *types.CreateSnapshot_Task) soap.HasFault {
	b := of(&vm.VirtualMachine)
	how := b.create
	task := begin(&vm.VirtualMachine, "createSnapshot", how, func() (types.AnyType, types.BaseMethodFault) {
		if failed := named(how); failed != nil {
			return nil, failed
		}
		on := vm.Runtime.PowerState == types.VirtualMachinePowerStatePoweredOn
		quiesced := req.Quiesce && on && vm.Guest.ToolsRunningStatus == string(types.VirtualMachineToolsRunningStatusGuestToolsRunning)
		if failed := named(b.quiesce); failed != nil && quiesced {
			return nil, failed
		}
		quiesced = quiesced && b.quiesce != "dropped"
		return vm.add(req.Name, req.Description, req.Memory && on, quiesced, time.Now()), nil
	})
	return &methods.CreateSnapshot_TaskBody{Res: &types.CreateSnapshot_TaskResponse{Returnval: task}}
}

func (vm *VM) add(name string, description string, memory bool, quiesced bool, created time.Time) types.ManagedObjectReference {
	s := &Snapshot{VirtualMachineSnapshot: new(simulator.VirtualMachineSnapshot), vm: vm, memory: memory}
	s.Vm = vm.Self
	mutex.Lock()
	count++
	s.Self = types.ManagedObjectReference{Type: "VirtualMachineSnapshot", Value: fmt.Sprintf("snapshot-%d", count)}
	mutex.Unlock()
	simulator.Map.Put(s)
	mutex.Lock()
	disks[s.Self.Value] = behaviours[vm.Self.Value].disk
	mutex.Unlock()
	state := types.VirtualMachinePowerStatePoweredOff
	if memory {
		state = types.VirtualMachinePowerStatePoweredOn
	}
	item := types.VirtualMachineSnapshotTree{
		Snapshot: s.Self, Vm: vm.Self, Name: name, Description: description, CreateTime: created, State: state, Quiesced: quiesced,
	}
	if vm.VirtualMachine.Snapshot == nil {
		vm.VirtualMachine.Snapshot = new(types.VirtualMachineSnapshotInfo)
	}
	info := vm.VirtualMachine.Snapshot
	if parent := find(info.RootSnapshotList, info.CurrentSnapshot); parent != nil {
		parent.ChildSnapshotList = append(parent.ChildSnapshotList, item)
	} else {
		info.RootSnapshotList = append(info.RootSnapshotList, item)
	}
	ref := s.Self
	info.CurrentSnapshot = &ref
	return s.Self
}

func find(list []types.VirtualMachineSnapshotTree, ref *types.ManagedObjectReference) *types.VirtualMachineSnapshotTree {
	for i := range list {
		if ref != nil && list[i].Snapshot == *ref {
			return &list[i]
		}
		if found := find(list[i].ChildSnapshotList, ref); found != nil {
			return found
		}
	}
	return nil
}

func parentOf(list []types.VirtualMachineSnapshotTree, ref types.ManagedObjectReference) *types.ManagedObjectReference {
	for i := range list {
		for _, child := range list[i].ChildSnapshotList {
			if child.Snapshot == ref {
				return &list[i].Snapshot
			}
		}
		if found := parentOf(list[i].ChildSnapshotList, ref); found != nil {
			return found
		}
	}
	return nil
}

func without(list []types.VirtualMachineSnapshotTree, ref types.ManagedObjectReference) []types.VirtualMachineSnapshotTree {
	var kept []types.VirtualMachineSnapshotTree
	for _, one := range list {
		one.ChildSnapshotList = without(one.ChildSnapshotList, ref)
		if one.Snapshot == ref {
			kept = append(kept, one.ChildSnapshotList...)
		} else {
			kept = append(kept, one)
		}
	}
	return kept
}

// RemoveSnapshotTask removes it; its children stay.
func (s *Snapshot) RemoveSnapshotTask(req *types.RemoveSnapshot_Task) soap.HasFault {
	b := of(&s.vm.VirtualMachine)
	how := b.remove
	task := begin(&s.vm.VirtualMachine, "removeSnapshot", how, func() (types.AnyType, types.BaseMethodFault) {
		if failed := named(how); failed != nil {
			return nil, failed
		}
		info := s.vm.VirtualMachine.Snapshot
		if how == "ignored" || info == nil {
			return nil, nil
		}
		if info.CurrentSnapshot != nil && *info.CurrentSnapshot == s.Self {
			info.CurrentSnapshot = parentOf(info.RootSnapshotList, s.Self)
		}
		info.RootSnapshotList = without(info.RootSnapshotList, s.Self)
		if len(info.RootSnapshotList) == 0 {
			s.vm.VirtualMachine.Snapshot = nil
		}
		simulator.Map.Remove(s.Self)
		s.vm.Runtime.ConsolidationNeeded = types.NewBool(b.consolidate)
		return nil, nil
	})
	return &methods.RemoveSnapshot_TaskBody{Res: &types.RemoveSnapshot_TaskResponse{Returnval: task}}
}

// RevertToSnapshotTask takes the machine back to it.
func (s *Snapshot) RevertToSnapshotTask(req *types.RevertToSnapshot_Task) soap.HasFault {
	b := of(&s.vm.VirtualMachine)
	how := b.revert
	task := begin(&s.vm.VirtualMachine, "revertToSnapshot", how, func() (types.AnyType, types.BaseMethodFault) {
		if failed := named(how); failed != nil {
			return nil, failed
		}
		if how == "ignored" {
			return nil, nil
		}
		ref := s.Self
		s.vm.VirtualMachine.Snapshot.CurrentSnapshot = &ref
		power := types.VirtualMachinePowerStatePoweredOff
		if s.memory {
			power = types.VirtualMachinePowerStatePoweredOn
		}
		s.vm.Runtime.PowerState = power
		mutex.Lock()
		b.disk = disks[s.Self.Value]
		mutex.Unlock()
		return nil, nil
	})
	return &methods.RevertToSnapshot_TaskBody{Res: &types.RevertToSnapshot_TaskResponse{Returnval: task}}
}

// RenameSnapshot changes its name and its description.
func (s *Snapshot) RenameSnapshot(req *types.RenameSnapshot) soap.HasFault {
	if of(&s.vm.VirtualMachine).refuseRename {
		return &methods.RenameSnapshotBody{Fault_: simulator.Fault("", &types.NoPermission{
			Object: s.vm.Self, PrivilegeId: "VirtualMachine.State.RenameSnapshot",
		})}
	}
	simulator.Map.WithLock(&s.vm.VirtualMachine, func() {
		one := find(s.vm.VirtualMachine.Snapshot.RootSnapshotList, &s.VirtualMachineSnapshot.Self)
		if req.Name != "" {
			one.Name = req.Name
		}
		one.Description = req.Description
	})
	return &methods.RenameSnapshotBody{Res: new(types.RenameSnapshotResponse)}
}

// PowerOnVMTask powers the machine on.
func (vm *VM) PowerOnVMTask(req *types.PowerOnVM_Task) soap.HasFault {
	how := of(&vm.VirtualMachine).powerOn
	task := begin(&vm.VirtualMachine, "powerOn", how, func() (types.AnyType, types.BaseMethodFault) {
		if failed := named(how); failed != nil {
			return nil, failed
		}
		if how != "ignored" {
			vm.Runtime.PowerState = types.VirtualMachinePowerStatePoweredOn
		}
		return nil, nil
	})
	return &methods.PowerOnVM_TaskBody{Res: &types.PowerOnVM_TaskResponse{Returnval: task}}
}

// SearchIndex finds all that have a UUID; the simulator's finds one.
type SearchIndex struct{ simulator.SearchIndex }

// FindAllByUuid finds machines, in one datacenter or in all.
func (*SearchIndex) FindAllByUuid(req *types.FindAllByUuid) soap.HasFault {
	res := new(types.FindAllByUuidResponse)
	for path, vm := range machines() {
		uuid := vm.Config.Uuid
		if req.InstanceUuid != nil && *req.InstanceUuid {
			uuid = vm.Config.InstanceUuid
		}
		if uuid == req.Uuid && (req.Datacenter == nil || strings.HasPrefix(path, pathOf(simulator.Map.Get(*req.Datacenter).(mo.Entity))+"/")) {
			res.Returnval = append(res.Returnval, vm.Self)
		}
	}
	return &methods.FindAllByUuidBody{Res: res}
}

// --- what the test says --------------------------------------------------------------------------

func pathOf(e mo.Entity) string {
	path := ""
	for {
		entity := e.Entity()
		if entity.Parent == nil {
			return path
		}
		path = "/" + entity.Name + path
		e = simulator.Map.Get(*entity.Parent).(mo.Entity)
	}
}

func machines() map[string]*VM {
	found := map[string]*VM{}
	for _, one := range simulator.Map.All("VirtualMachine") {
		vm := one.(*VM)
		found[pathOf(vm)] = vm
	}
	return found
}

func set(text *string, value *string) {
	if value != nil {
		*text = *value
	}
}

func setMachine(m machine) error {
	vm := machines()[m.Path]
	if vm == nil {
		return fmt.Errorf("no machine %s", m.Path)
	}
	b := of(&vm.VirtualMachine)
	simulator.Map.WithLock(&vm.VirtualMachine, func() {
		if m.Clear {
			vm.VirtualMachine.Snapshot, vm.RecentTask = nil, nil
		}
		if m.Rename != "" {
			vm.Name = m.Rename
			vm.Config.Name = m.Rename
		}
		if m.Tools != nil {
			vm.Guest.ToolsRunningStatus = string(types.VirtualMachineToolsRunningStatusGuestToolsNotRunning)
			if *m.Tools {
				vm.Guest.ToolsRunningStatus = string(types.VirtualMachineToolsRunningStatusGuestToolsRunning)
			}
		}
		if m.Power != "" {
			vm.Runtime.PowerState = types.VirtualMachinePowerState(m.Power)
		}
		if m.Connection != "" {
			vm.Runtime.ConnectionState = types.VirtualMachineConnectionState(m.Connection)
		}
		if m.Template != nil {
			vm.Config.Template = *m.Template
		}
		if m.Supported != nil {
			vm.Capability.SnapshotOperationsSupported = *m.Supported
		}
		if m.Independent != nil {
			for _, device := range vm.Config.Hardware.Device {
				if disk, ok := device.(*types.VirtualDisk); ok {
					mode := "persistent"
					if *m.Independent {
						mode = "independent_persistent"
					}
					disk.Backing.(*types.VirtualDiskFlatVer2BackingInfo).DiskMode = mode
				}
			}
		}
		if m.Question != nil {
			vm.Runtime.Question = nil
			if *m.Question != "" {
				vm.Runtime.Question = &types.VirtualMachineQuestionInfo{Id: "1", Text: *m.Question}
			}
		}
	})
	mutex.Lock()
	defer mutex.Unlock()
	if m.Disk != "" {
		b.disk = m.Disk
	}
	if m.Milliseconds != nil {
		b.milliseconds = *m.Milliseconds
	}
	if m.Consolidate != nil {
		b.consolidate = *m.Consolidate
	}
	if m.Cancelable != nil {
		b.cancelable = *m.Cancelable
	}
	if m.RefuseRename != nil {
		b.refuseRename = *m.RefuseRename
	}
	set(&b.create, m.Create)
	set(&b.quiesce, m.Quiesce)
	set(&b.remove, m.Remove)
	set(&b.revert, m.Revert)
	set(&b.powerOn, m.PowerOn)
	return nil
}

func flat(list []types.VirtualMachineSnapshotTree) []map[string]interface{} {
	found := []map[string]interface{}{}
	for _, one := range list {
		found = append(found, map[string]interface{}{
			"ref": one.Snapshot.Value, "name": one.Name, "description": one.Description, "quiesced": one.Quiesced,
		})
		found = append(found, flat(one.ChildSnapshotList)...)
	}
	return found
}

func state() map[string]interface{} {
	shown := map[string]interface{}{}
	for path, vm := range machines() {
		b := of(&vm.VirtualMachine)
		simulator.Map.WithLock(&vm.VirtualMachine, func() {
			snapshots, current := []map[string]interface{}{}, ""
			if info := vm.VirtualMachine.Snapshot; info != nil {
				snapshots = flat(info.RootSnapshotList)
				if info.CurrentSnapshot != nil {
					current = info.CurrentSnapshot.Value
				}
			}
			shown[path] = map[string]interface{}{
				"power": vm.Runtime.PowerState, "disk": b.disk, "snapshots": snapshots, "current": current,
				"uuid": vm.Config.Uuid, "instance_uuid": vm.Config.InstanceUuid,
			}
		})
	}
	mutex.Lock()
	defer mutex.Unlock()
	return map[string]interface{}{"machines": shown, "sessions": logins - logouts, "calls": append([]string{}, calls...)}
}

// Datastore is one that is as full as the test says.
type Datastore struct {
	simulator.Datastore
	free int64
}

// RefreshDatastore shows how much is free now.
func (d *Datastore) RefreshDatastore(*types.RefreshDatastore) soap.HasFault {
	d.Summary.FreeSpace = d.free
	return &methods.RefreshDatastoreBody{Res: new(types.RefreshDatastoreResponse)}
}

type datastore struct {
	Name       string
	Capacity   int64
	Free       int64
	Shown      int64
	Accessible bool
}

// setDatastore sets those of that name, as each datacenter has one.
func setDatastore(d datastore) error {
	err := fmt.Errorf("no datastore %s", d.Name)
	for _, one := range simulator.Map.All("Datastore") {
		if store := one.(*Datastore); store.Name == d.Name {
			err = nil
			simulator.Map.WithLock(store, func() {
				store.Summary.Capacity, store.Summary.FreeSpace, store.Summary.Accessible = d.Capacity, d.Shown, d.Accessible
				store.free = d.Free
			})
		}
	}
	return err
}

type snapshot struct {
	Path        string
	Name        string
	Description string
	Age         int
}

func addSnapshot(s snapshot) error {
	vm := machines()[s.Path]
	if vm == nil {
		return fmt.Errorf("no machine %s", s.Path)
	}
	of(&vm.VirtualMachine)
	simulator.Map.WithLock(&vm.VirtualMachine, func() {
		vm.add(s.Name, s.Description, false, false, time.Now().Add(-time.Duration(s.Age)*time.Second))
	})
	return nil
}

func control(w http.ResponseWriter, r *http.Request) {
	read := json.NewDecoder(r.Body)
	var err error
	switch r.URL.Path {
	case "/state":
		_ = json.NewEncoder(w).Encode(state())
		return
	case "/machine":
		var m machine
		if err = read.Decode(&m); err == nil {
			err = setMachine(m)
		}
	case "/datastore":
		var d datastore
		if err = read.Decode(&d); err == nil {
			err = setDatastore(d)
		}
	case "/snapshot":
		var s snapshot
		if err = read.Decode(&s); err == nil {
			err = addSnapshot(s)
		}
	case "/fault":
		var f fault
		if err = read.Decode(&f); err == nil {
			mutex.Lock()
			faults = append(faults, &f)
			mutex.Unlock()
		}
	case "/reset":
		mutex.Lock()
		faults, calls = nil, nil
		mutex.Unlock()
	default:
		err = fmt.Errorf("no such page")
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}

// --- HTTP ----------------------------------------------------------------------------------------

var methodName = regexp.MustCompile(`Body>\s*<(?:\w+:)?(\w+)`)

const denied = `<?xml version="1.0"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"` +
	` xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body><soapenv:Fault><faultcode>ServerFaultCode</faultcode>` +
	`<faultstring>%s</faultstring><detail><%[2]sFault xmlns="urn:vim25" xsi:type="%[2]s"><object type="VirtualMachine">vm-1</object>` +
	`<privilegeId>VirtualMachine.State.Something</privilegeId></%[2]sFault></detail></soapenv:Fault></soapenv:Body></soapenv:Envelope>`

// take is the fault that a call meets, none mostly.
func take(method string) string {
	mutex.Lock()
	defer mutex.Unlock()
	calls = append(calls, method)
	for _, one := range faults {
		if one.Method == method && one.Times > 0 {
			one.Times--
			return one.Do
		}
	}
	return ""
}

// drop ends a connection without an answer.
func drop(w http.ResponseWriter) {
	connection, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		_ = connection.Close()
	}
}

// lost is an answer that goes nowhere.
type lost struct{ header http.Header }

func (l *lost) Header() http.Header         { return l.header }
func (l *lost) Write(b []byte) (int, error) { return len(b), nil }
func (l *lost) WriteHeader(int)             {}

// seen notes who logs in and out.
type seen struct {
	http.ResponseWriter
	status int
}

func (s *seen) WriteHeader(status int) {
	s.status = status
	s.ResponseWriter.WriteHeader(status)
}

func answer(service *simulator.Service, w http.ResponseWriter, r *http.Request) {
	body, err := ioutil.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = ioutil.NopCloser(bytes.NewReader(body))
	method := ""
	if found := methodName.FindSubmatch(body); found != nil {
		method = string(found[1])
	}
	switch do := take(method); do {
	case "drop":
		drop(w)
		return
	case "drop_after":
		service.ServeSDK(&lost{http.Header{}}, r)
		drop(w)
		return
	case "hang":
		<-r.Context().Done()
		return
	case "drip":
		w.WriteHeader(http.StatusOK)
		for r.Context().Err() == nil {
			_, _ = w.Write([]byte(" "))
			w.(http.Flusher).Flush()
			time.Sleep(100 * time.Millisecond)
		}
		return
	case "deny", "forget":
		kind := "NoPermission"
		if do == "forget" {
			kind = "NotAuthenticated"
			mutex.Lock()
			logouts++
			mutex.Unlock()
		}
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprintf(w, denied, "you sent "+string(regexp.MustCompile(`(?s)<password>.*</password>`).Find(body)), kind)
		return
	case "status":
		http.Error(w, "", http.StatusServiceUnavailable)
		return
	}
	told := &seen{w, http.StatusOK}
	service.ServeSDK(told, r)
	if told.status == http.StatusOK {
		mutex.Lock()
		if method == "Login" {
			logins++
		} else if method == "Logout" {
			logouts++
		}
		mutex.Unlock()
	}
}

func main() {
	model := simulator.VPX()
	model.Datacenter, model.Cluster, model.Host, model.Machine, model.Datastore = 2, 0, 1, 3, 2
	if err := model.Create(); err != nil {
		log.Fatal(err)
	}
	defer model.Remove()
	for _, one := range simulator.Map.All("VirtualMachine") {
		vm := one.(*simulator.VirtualMachine)
		vm.Guest.ToolsRunningStatus = string(types.VirtualMachineToolsRunningStatusGuestToolsRunning)
		vm.Runtime.ConsolidationNeeded = types.NewBool(false)
		vm.Capability.SnapshotOperationsSupported = true
		simulator.Map.Put(&VM{*vm})
	}
	simulator.Map.Put(&SearchIndex{*simulator.Map.SearchIndex()})
	for _, one := range simulator.Map.All("Datastore") {
		simulator.Map.Put(&Datastore{*one.(*simulator.Datastore), 1 << 39})
	}
	service := model.Service
	service.RegisterSDK(simulator.Map)
	service.Listen = &url.URL{User: url.UserPassword(os.Args[4], os.Args[5])}

	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go func() { log.Fatal(http.Serve(plain, http.HandlerFunc(control))) }()

	certificate, err := tls.LoadX509KeyPair(os.Args[2], os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:"+os.Args[1], &tls.Config{Certificates: []tls.Certificate{certificate}})
	if err != nil {
		log.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	_, controlPort, _ := net.SplitHostPort(plain.Addr().String())
	fmt.Printf("{\"port\": %s, \"control\": %s}\n", port, controlPort)
	go func() {
		// It ends with the test that began it.
		_, _ = ioutil.ReadAll(os.Stdin)
		model.Remove()
		os.Exit(0)
	}()
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer(service, w, r)
	})}
	log.Fatal(server.Serve(listener))
}
