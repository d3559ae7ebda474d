// Command policies enforces network policies with kube-router's controller.
//
// kube-router itself learns a pod's address from the pod's status, after the pod's programs have
// started: until then nothing is denied to the pod. So this program is also the last plugin of the
// pods' network. The plugin tells the enforcer the address of a new pod, and returns when the pod's
// rules are in force.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/cloudnativelabs/kube-router/v2/pkg/controllers/netpol"
	"github.com/cloudnativelabs/kube-router/v2/pkg/healthcheck"
	"github.com/cloudnativelabs/kube-router/v2/pkg/options"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

const patience = 20 * time.Second // how long the start of a pod waits for the rules

var (
	kubeconfig = flag.String("kubeconfig", "", "of a user that reads nodes, namespaces, pods and policies")
	node       = flag.String("node", "", "name of the node whose pods are protected")
	address    = flag.String("address", "", "of the node")
	dns        = flag.String("dns", "", "address of the cluster's DNS server, which counts as a pod")
	services   = flag.String("services", "", "range of the services' addresses")
	socket     = flag.String("socket", "", "where the plugin asks")
)

// sandbox is what the plugin tells of a pod.
type sandbox struct{ Namespace, Name, UID, Address string }

type enforcer struct {
	controller *netpol.NetworkPolicyController
	pods       cache.SharedIndexInformer
	addresses  sync.Map // of pods, by UID
	lock       sync.Mutex
	begun      chan struct{} // closed when the controller next begins to bring the rules up to date
}

func main() {
	if command := os.Getenv("CNI_COMMAND"); command != "" {
		if err := plugin(command); err != nil {
			message := fmt.Sprintf("no network policies are enforced: %v", err)
			answer, _ := json.Marshal(map[string]any{"cniVersion": "0.4.0", "code": 11, "msg": message})
			fmt.Println(string(answer))
			os.Exit(1)
		}
		return
	}
	klog.InitFlags(nil)
	flag.Parse()
	klog.Fatal(enforce())
}

// plugin does what the container runtime asks: https://www.cni.dev/docs/spec/
func plugin(command string) error {
	if command == "VERSION" {
		fmt.Println(`{"cniVersion":"0.4.0","supportedVersions":["0.4.0"]}`)
	}
	if command != "ADD" {
		return nil
	}
	var configuration struct {
		Socket     string
		PrevResult json.RawMessage
	}
	var result struct{ IPs []struct{ Address string } }
	if err := json.NewDecoder(os.Stdin).Decode(&configuration); err != nil {
		return err
	}
	if err := json.Unmarshal(configuration.PrevResult, &result); err != nil {
		return err
	}
	words := map[string]string{}
	for _, word := range strings.Split(os.Getenv("CNI_ARGS"), ";") {
		key, value, _ := strings.Cut(word, "=")
		words[key] = value
	}
	at, _, _ := strings.Cut(result.IPs[0].Address, "/")
	asked := sandbox{words["K8S_POD_NAMESPACE"], words["K8S_POD_NAME"], words["K8S_POD_UID"], at}
	for end := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		err := ask(configuration.Socket, asked)
		if err == nil {
			_, err = os.Stdout.Write(configuration.PrevResult)
			return err
		}
		if time.Now().After(end) {
			return err
		}
	}
}

func ask(socket string, asked sandbox) error {
	connection, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	defer connection.Close()
	if err := json.NewEncoder(connection).Encode(asked); err != nil {
		return err
	}
	var answer string
	return json.NewDecoder(connection).Decode(&answer)
}

func enforce() error {
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	namespaces := factory.Core().V1().Namespaces().Informer()
	policies := factory.Networking().V1().NetworkPolicies().Informer()
	e := &enforcer{pods: factory.Core().V1().Pods().Informer(), begun: make(chan struct{})}
	if err := e.pods.SetTransform(e.addressed); err != nil {
		return err
	}
	settings := options.NewKubeRouterConfig()
	settings.EnableIPv4, settings.HostnameOverride = true, *node
	settings.ClusterIPCIDRs = []string{*services}
	iptables, ipsets, err := netpol.NewIPTablesHandlers(settings)
	if err != nil {
		return err
	}
	var lock sync.Mutex
	for {
		e.controller, err = netpol.NewNetworkPolicyController(
			client, settings, e.pods, policies, namespaces, &lock, iptables, ipsets)
		if err == nil {
			break
		}
		klog.Info(err) // the kubelet, which starts later, makes the node
		time.Sleep(200 * time.Millisecond)
	}
	e.pods.AddEventHandler(e.controller.PodEventHandler)
	namespaces.AddEventHandler(e.controller.NamespaceEventHandler)
	policies.AddEventHandler(e.controller.NetworkPolicyEventHandler)
	never := make(chan struct{})
	factory.Start(never)
	factory.WaitForCacheSync(never)
	beats := make(chan *healthcheck.ControllerHeartbeat)
	go e.follow(beats)
	var running sync.WaitGroup
	running.Add(1)
	go e.controller.Run(beats, never, &running)
	os.Remove(*socket)
	door, err := net.Listen("unix", *socket)
	for err == nil {
		var connection net.Conn
		if connection, err = door.Accept(); err == nil {
			go e.answer(connection)
		}
	}
	return err
}

// addressed gives a pod the address that the plugin told, until the kubelet has told it as well.
func (e *enforcer) addressed(object any) (any, error) {
	if pod, ok := object.(*core.Pod); ok && pod.Status.PodIP == "" {
		if told, ok := e.addresses.Load(string(pod.UID)); ok {
			place(pod, told.(string))
		}
	}
	return object, nil
}

func place(pod *core.Pod, at string) {
	pod.Status.HostIP, pod.Status.PodIP = *address, at
	pod.Status.PodIPs = []core.PodIP{{IP: at}}
}

// follow notes when the controller begins a round, and keeps the DNS server among the pods.
func (e *enforcer) follow(beats <-chan *healthcheck.ControllerHeartbeat) {
	server := &core.Pod{ObjectMeta: meta.ObjectMeta{
		Namespace: "kube-system", Name: "dns", Labels: map[string]string{"k8s-app": "kube-dns"},
	}}
	place(server, *dns)
	server.Status.HostIP = "" // a pod of this node would get rules, and the node with it
	for {
		// The API server does not have this pod, so that a new list of pods drops it.
		if err := e.pods.GetIndexer().Add(server); err != nil {
			klog.Error(err)
		}
		<-beats
		e.lock.Lock()
		close(e.begun)
		e.begun = make(chan struct{})
		e.lock.Unlock()
	}
}

// answer tells a plugin that the rules of its pod are in force. On a failure it tells nothing, and
// the plugin asks again.
func (e *enforcer) answer(connection net.Conn) {
	defer connection.Close()
	var asked sandbox
	if err := json.NewDecoder(connection).Decode(&asked); err != nil {
		klog.Error(err)
		return
	}
	e.addresses.Store(asked.UID, asked.Address)
	object, known, _ := e.pods.GetIndexer().GetByKey(asked.Namespace + "/" + asked.Name)
	if !known || string(object.(*core.Pod).UID) != asked.UID {
		klog.Errorf("%s/%s is not known yet", asked.Namespace, asked.Name)
		return
	}
	pod := object.(*core.Pod).DeepCopy()
	place(pod, asked.Address)
	if err := e.pods.GetIndexer().Update(pod); err != nil {
		klog.Error(err)
		return
	}
	// The first round knows of the pod. When the second begins, the first has ended.
	for range 2 {
		e.lock.Lock()
		begun := e.begun
		e.lock.Unlock()
		e.controller.RequestFullSync()
		<-begun
	}
	if err := json.NewEncoder(connection).Encode("done"); err != nil {
		klog.Error(err)
	}
}
